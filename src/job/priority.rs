//! The priority of a job.

use crate::error::Error;

/// Priority of a job within its queue: a lower number is claimed first.
///
/// ```
/// use postrider::Priority;
///
/// assert!(Priority::Urgent < Priority::Idle);
/// assert_eq!(Priority::default(), Priority::Normal);
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// 1: before all others.
    Urgent = 1,
    /// 2: the default.
    #[default]
    Normal = 2,
    /// 3: after normal work.
    Low = 3,
    /// 4: when no other job waits.
    Idle = 4,
}

impl Priority {
    /// The number, 1 to 4.
    ///
    /// ```
    /// use postrider::Priority;
    ///
    /// assert_eq!(Priority::Urgent.number(), 1);
    /// assert_eq!(Priority::try_from(1)?, Priority::Urgent);
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn number(self) -> i16 {
        self as i16
    }
}

impl TryFrom<i64> for Priority {
    type Error = Error;

    fn try_from(number: i64) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::Urgent),
            2 => Ok(Self::Normal),
            3 => Ok(Self::Low),
            4 => Ok(Self::Idle),
            other => Err(Error::invalid("priority", format!("is {other}, not 1 to 4"))),
        }
    }
}
