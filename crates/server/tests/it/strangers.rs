//! What strangers' bytes may cost: memory, places, descriptors and lines of the log.

mod answers;
mod connections;
mod descriptors;
mod forms;
mod log;
mod ports;
mod preface;
