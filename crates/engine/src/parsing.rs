//! Parsing of long documents that clients send, on threads beside those that serve requests.

use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::EngineError;

/// The longest document that is parsed on the thread of its request: a change of threads would take longer.
const SHORT_DOCUMENT: usize = 32 << 10;

/// The limit on how many long documents are parsed at once: half of the processors, so that the others serve
/// requests.
#[derive(Clone)]
pub struct ParsingPlaces(Arc<Semaphore>);

impl Default for ParsingPlaces {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }
}

impl ParsingPlaces {
    /// Returns the result of `parse` on a document of `length` bytes.
    pub async fn run<T: Send + 'static>(
        &self,
        length: usize,
        parse: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        if length <= SHORT_DOCUMENT {
            return Ok(parse());
        }
        let place = self.0.clone().acquire_owned().await.expect("never closed");
        let parsed = spawn_blocking(move || {
            let parsed = parse();
            // The place is held until the end of the parsing, even if the client has left.
            drop(place);
            parsed
        });
        parsed.await.map_err(|error| EngineError::Internal(format!("reading a document: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn only_long_documents_change_threads() {
        let (places, here) = (ParsingPlaces::default(), current().id());
        let thread = || current().id();
        assert_eq!(places.run(SHORT_DOCUMENT, thread).await.expect("read"), here);
        assert_ne!(places.run(SHORT_DOCUMENT + 1, thread).await.expect("read"), here);
    }

    #[tokio::test]
    async fn a_place_is_free_again_however_it_ends() {
        let places = ParsingPlaces(Arc::new(Semaphore::new(1)));
        let failed = places.run(SHORT_DOCUMENT + 1, || panic!("a mistake of ours")).await;
        assert!(matches!(failed, Err::<(), _>(EngineError::Internal(_))));
        assert_eq!(places.run(SHORT_DOCUMENT + 1, || 5).await.expect("read"), 5);
    }
}
