//! What strangers' bytes may cost: memory, places, descriptors and lines of the log.

mod descriptors;
mod log;
mod preface;
