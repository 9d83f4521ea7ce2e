//! Sends events to the streams that read them.
//!
//! Promises: sending never waits. Without a stream, an event is not built. A stream that is read too slowly misses the
//! oldest events, and gets their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Event;

/// How many events a stream buffers.
const BUFFERED: usize = 4_096;

/// Where a worker sends its events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
    /// Cheaper to read than the number of receivers, for which the channel takes a lock.
    streams: Arc<AtomicUsize>,
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BUFFERED), streams: Arc::default() }
    }
}

impl Events {
    /// Sends an event, which is built only if there is a stream.
    pub fn send(&self, event: impl FnOnce() -> Event) {
        if self.streams.load(Ordering::Relaxed) > 0 {
            // Fails if the last stream was dropped in between.
            let _ = self.sender.send(event());
        }
    }

    /// A stream of the events from now on.
    pub fn subscribe(&self) -> EventStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        EventStream { receiver: self.sender.subscribe(), streams: Arc::clone(&self.streams) }
    }
}

/// The events of a worker, from its creation on.
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
    streams: Arc<AtomicUsize>,
}

impl EventStream {
    /// The next event. None once the worker has ended. A stream buffers 4,096 events; [`Event::Missed`] tells how many
    /// were missed beyond that.
    ///
    /// Safe to drop: no event is lost by that.
    ///
    /// ```no_run
    /// # async fn example(mut events: postrider::observe::EventStream) {
    /// use postrider::observe::Event;
    ///
    /// while let Some(event) = events.next().await {
    ///     if event == Event::ListenerLost {
    ///         println!("the worker polls");
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(Event::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_stream_an_event_is_not_even_built() {
        let events = Events::default();
        events.send(|| panic!("nobody reads it"));
        let stream = events.subscribe();
        drop(stream);
        events.send(|| panic!("nobody reads it any more"));
    }

    #[tokio::test]
    async fn a_slow_stream_misses_events_and_says_how_many() {
        let events = Events::default();
        let (mut slow, mut other) = (events.subscribe(), events.subscribe());
        for _ in 0..BUFFERED + 10 {
            events.send(|| Event::ListenerLost);
        }
        assert_eq!(slow.next().await, Some(Event::Missed { count: 10 }));
        for _ in 0..BUFFERED {
            assert_eq!(slow.next().await, Some(Event::ListenerLost));
        }
        assert!(matches!(other.next().await, Some(Event::Missed { .. })));
        drop(events);
        assert_eq!(slow.next().await, None);
    }
}
