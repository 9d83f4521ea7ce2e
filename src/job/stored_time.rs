//! Stored times, which may have been edited by hand.

use std::error::Error as StdError;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::types::{FromSql, Type};

/// 2000-01-01T00:00:00Z, the epoch of Postgres, in µs since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: the range of RFC 3339.
const RANGE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// A time that can always be read. Infinite times, and times outside of the range of RFC 3339, are clamped to it.
pub(crate) struct StoredTime(pub DateTime<Utc>);

impl StoredTime {
    /// The last one. Infinity is read as this.
    pub fn last() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::microseconds(RANGE.1)
    }

    /// Whether a time that was read may be this one.
    pub fn may_be(time: &DateTime<Utc>) -> bool {
        (RANGE.0..=RANGE.1).contains(&time.timestamp_micros())
    }
}

impl<'a> FromSql<'a> for StoredTime {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?).saturating_add(POSTGRES_EPOCH).clamp(RANGE.0, RANGE.1);
        Ok(Self(DateTime::UNIX_EPOCH + TimeDelta::microseconds(micros)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(micros: i64) -> DateTime<Utc> {
        StoredTime::from_sql(&Type::TIMESTAMPTZ, &micros.to_be_bytes()).unwrap().0
    }

    #[test]
    fn infinities_are_the_ends_of_the_calendar() {
        assert_eq!(read(i64::MAX).to_rfc3339(), "9999-12-31T23:59:59.999999+00:00");
        assert_eq!(read(i64::MIN).to_rfc3339(), "0001-01-01T00:00:00+00:00");
        assert_eq!(read(0).to_rfc3339(), "2000-01-01T00:00:00+00:00");
    }

    proptest! {
        #[test]
        fn every_stored_time_can_be_written_and_read_again(micros in any::<i64>()) {
            let time = read(micros);
            prop_assert_eq!(DateTime::parse_from_rfc3339(&time.to_rfc3339()).unwrap(), time);
        }
    }
}
