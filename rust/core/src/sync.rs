//! The only door to atomics and threads, so that a model checker can stand in for the standard library.

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub(crate) use std::thread;
