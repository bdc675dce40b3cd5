//! Work that several requests wait for and that is done once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The work that is being done now, by its key.
pub(crate) struct Flights<K, T>(Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>);

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T> Flights<K, T>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Waits for the result of the work of a key, which is begun if nobody does it yet. The work goes on when those who
    /// wait leave. Returns `None` if the work ended without a result, because it panicked.
    pub(crate) async fn join<Work>(
        &self,
        key: K,
        work: impl FnOnce(ResultSender<K, T>) -> Work,
    ) -> Option<T>
    where
        Work: Future<Output = ()> + Send + 'static,
    {
        let (mut result, begun) = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&key) {
                Some(running) => (running.clone(), None),
                None => {
                    let (sender, receiver) = watch::channel(None);
                    flights.insert(key.clone(), receiver.clone());
                    let landing = Landing { flights: self.0.clone(), key };
                    (receiver, Some(ResultSender { sender, landing }))
                }
            }
        };
        // The lock is not held here, because the end of the work takes it.
        if let Some(sender) = begun {
            tokio::spawn(work(sender));
        }
        let result = result.wait_for(Option::is_some).await;
        result.ok().and_then(|result| result.clone())
    }
}

/// The way of a result to those who wait. The work of the key ends when this is dropped.
pub(crate) struct ResultSender<K: Hash + Eq, T> {
    sender: watch::Sender<Option<T>>,
    landing: Landing<K, T>,
}

impl<K: Hash + Eq, T> ResultSender<K, T> {
    /// Sends the result while the work goes on. Whoever comes until its end gets the same result.
    pub(crate) fn announce(&self, result: T) {
        self.sender.send_replace(Some(result));
    }

    /// Sends the result at the end of the work. Whoever comes later starts anew, and finds what the work has done.
    pub(crate) fn finish(self, result: T) {
        let Self { sender, landing } = self;
        drop(landing);
        sender.send_replace(Some(result));
    }
}

/// Takes a key out when its work ends, however it ends.
struct Landing<K: Hash + Eq, T> {
    flights: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
    key: K,
}

impl<K: Hash + Eq, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn work_is_done_once_for_all_who_wait() {
        let (flights, runs) = (Flights::<u32, u32>::default(), Arc::new(AtomicU32::new(0)));
        let work = |sender: ResultSender<u32, u32>| {
            let runs = runs.clone();
            async move {
                tokio::task::yield_now().await;
                sender.finish(runs.fetch_add(1, Ordering::Relaxed));
            }
        };
        let results = join_all((0..50).map(|_| flights.join(1, work))).await;
        assert_eq!(results, vec![Some(0); 50]);
        assert_eq!(flights.join(1, work).await, Some(1), "later work is done anew");
    }

    #[tokio::test]
    async fn work_that_goes_on_after_its_result_is_not_begun_again() {
        let (flights, end) = (Flights::<u32, u32>::default(), Arc::new(Notify::new()));
        let work = |result, end: Arc<Notify>| {
            move |sender: ResultSender<u32, u32>| async move {
                sender.announce(result);
                end.notified().await;
                drop(sender);
                end.notify_one();
            }
        };
        assert_eq!(flights.join(1, work(1, end.clone())).await, Some(1));
        assert_eq!(flights.join(1, work(2, end.clone())).await, Some(1), "it still runs");
        end.notify_one();
        tokio::task::yield_now().await;
        end.notified().await;
        assert_eq!(flights.join(1, work(3, end)).await, Some(3));
    }

    #[tokio::test]
    async fn work_that_panics_leaves_nothing_behind() {
        let flights = Flights::<u32, u32>::default();
        assert_eq!(flights.join(1, |_| async { panic!("on purpose") }).await, None);
        assert_eq!(flights.join(1, |sender| async { sender.finish(7) }).await, Some(7));
    }
}
