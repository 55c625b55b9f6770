//! The only door to atomics and threads, so that something else can stand in for the standard library: loom's model checker (`--cfg loom`), shuttle's schedulers
//! (`--cfg shuttle`), or atomics that take their time (`--cfg disturbed`). `free/PROTOCOL.md`, "How it is tested".

#[cfg(disturbed)]
mod disturbed;

#[cfg(not(any(loom, shuttle)))]
mod of_std {
    #[cfg(disturbed)]
    pub(crate) use super::disturbed::{AtomicBool, AtomicU64, AtomicUsize, fence};
    /// A word that is written and read by turns, as the order of other atomics has it.
    pub(crate) use AtomicU64 as Slot;
    pub(crate) use std::sync::atomic::Ordering;
    #[cfg(not(disturbed))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
    pub(crate) use std::sync::{Mutex, OnceLock};
    pub(crate) use std::thread::{self, Thread, current, yield_now};

    /// Sleeps until woken, or for a while: a run must end even if a waker was killed.
    pub(crate) fn park() {
        thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

/// Here a worker that nobody wakes sleeps for ever, and the model reports it.
#[cfg(loom)]
mod of_loom {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::thread::yield_now;
    // Of what is not free running nothing is modelled; it only has to compile.
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::thread;

    /// A thread as far as others can wake it. Loom's own orders more than the standard library's promises: it has a thread see all that its waker saw, slept or not.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(std::sync::Arc<loom::sync::Notify>);

    loom::thread_local! {
        static CURRENT: Thread = Thread(std::sync::Arc::default());
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    /// Sleeps until woken, or (once in an execution) for no time.
    pub(crate) fn park() {
        current().0.wait();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }

    /// Loom never has a load see a store that comes later in its execution, as a processor may. So each load and store of a slot is also an access to memory that nobody
    /// else may touch at the time: loom reports those that nothing orders.
    #[derive(Debug)]
    pub(crate) struct Slot {
        word: AtomicU64,
        turn: loom::cell::UnsafeCell<()>,
    }

    // SAFETY: `turn` holds nothing.
    unsafe impl Sync for Slot {}

    impl Slot {
        pub(crate) fn new(word: u64) -> Self {
            Self { word: AtomicU64::new(word), turn: loom::cell::UnsafeCell::new(()) }
        }
        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.turn.with(|_| ());
            self.word.load(order)
        }
        pub(crate) fn store(&self, word: u64, order: Ordering) {
            self.turn.with_mut(|_| ());
            self.word.store(word, order);
        }
    }

    /// The standard library's, for one setter: what loom lacks.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: loom::cell::UnsafeCell<Option<T>>,
    }

    // SAFETY: the value is written before `is_set`, once, by the only thread that sets it, and read after.
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T: Clone> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), value: loom::cell::UnsafeCell::new(None) }
        }
        pub(crate) fn get(&self) -> Option<T> {
            // SAFETY: see `Sync`; loom checks it.
            self.is_set
                .load(Ordering::Acquire)
                .then(|| self.value.with(|value| unsafe { (*value).clone() }))?
        }
        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) {
            // Relaxed: only the one setter asks.
            if !self.is_set.load(Ordering::Relaxed) {
                // SAFETY: see `Sync`; loom checks it.
                self.value.with_mut(|value| unsafe { *value = Some(init()) });
                self.is_set.store(true, Ordering::Release);
            }
        }
    }
}

#[cfg(shuttle)]
mod of_shuttle {
    pub(crate) use AtomicU64 as Slot;
    pub(crate) use shuttle::sync::Mutex;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use shuttle::thread::{Thread, current, park, yield_now};
    pub(crate) use std::sync::OnceLock;

    pub(crate) mod thread {
        use shuttle::thread::Scope;
        pub(crate) use shuttle::thread::{ScopedJoinHandle, Thread, current, park_timeout, scope};

        pub(crate) struct Builder;

        impl Builder {
            pub(crate) fn new() -> Self {
                Self
            }
            #[allow(clippy::unnecessary_wraps)] // as the standard library's
            pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
                self,
                scope: &'scope Scope<'scope, '_>,
                work: impl FnOnce() -> T + Send + 'scope,
            ) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
                Ok(scope.spawn(work))
            }
        }
    }
}

#[cfg(loom)]
pub(crate) use of_loom::*;
#[cfg(shuttle)]
pub(crate) use of_shuttle::*;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use of_std::*;
