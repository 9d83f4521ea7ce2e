//! stub until merged
use std::time::Duration;
#[derive(Default)]
pub(crate) struct Reconnect(u32);
impl Reconnect {
    pub fn next_delay(&mut self) -> Duration {
        self.0 += 1;
        Duration::from_millis(100)
    }
    pub fn reset(&mut self) {
        self.0 = 0;
    }
}
