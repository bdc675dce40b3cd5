//! The cost of bytes from clients without a credential: memory, connections, descriptors and lines of the log.

mod answers;
mod connections;
mod descriptors;
mod forms;
mod log;
mod ports;
mod preface;
