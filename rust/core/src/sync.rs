//! The only door to atomics and threads, so that loom's model checker can stand in for the standard library (`--cfg loom`).

#[cfg(not(loom))]
mod of_std {
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use std::thread;

    /// Sleeps until woken, or for a while: a run must end even if a waker was killed.
    pub(crate) fn park() {
        thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[cfg(loom)]
mod of_loom {
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::thread;

    pub(crate) fn park() {
        thread::park();
    }
}

#[cfg(loom)]
pub(crate) use of_loom::*;
#[cfg(not(loom))]
pub(crate) use of_std::*;
