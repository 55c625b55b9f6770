//! The only door to atomics and threads, so that something else can stand in for the standard library: loom's model
//! checker (`--cfg loom`), shuttle's schedulers (`--cfg shuttle`), or atomics that pause at random (`--cfg disturbed`).
//! See `free/PROTOCOL.md`, "How it is tested".

#[cfg(disturbed)]
mod disturbed;

#[cfg(not(any(loom, shuttle)))]
mod of_std {
    #[cfg(disturbed)]
    pub(crate) use super::disturbed::{AtomicBool, AtomicU64, AtomicUsize, fence};
    /// A word whose writer and reader take turns, in an order that other atomics establish.
    pub(crate) use AtomicU64 as Slot;
    pub(crate) use std::sync::atomic::Ordering;
    #[cfg(not(disturbed))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
    pub(crate) use std::sync::{Mutex, OnceLock};
    pub(crate) use std::thread::{self, Thread, current, yield_now};

    /// Sleeps until woken, or for a while: nobody wakes a sleeper when the caller wants to stop, so it must look for
    /// itself.
    pub(crate) fn park() {
        thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

/// Under loom, a worker that nobody wakes sleeps forever, and the model checker reports it.
#[cfg(loom)]
mod of_loom {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::thread::yield_now;
    // Nothing but free running is modelled; the rest only has to compile.
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::thread;

    /// A thread, as far as others can wake it. Loom's own gives stronger ordering than the standard library promises:
    /// with it, a thread sees all that its waker saw, whether it slept or not.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(std::sync::Arc<loom::sync::Notify>);

    loom::thread_local! {
        static CURRENT: Thread = Thread(std::sync::Arc::default());
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    /// Sleeps until woken, or (once in an execution) returns at once.
    pub(crate) fn park() {
        current().0.wait();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }

    /// Loom never lets a load see a store that comes later in the execution, as a processor may. So each load and store
    /// of a slot also accesses a cell that nobody else may access at the same time: loom reports accesses that nothing
    /// orders.
    #[derive(Debug)]
    pub(crate) struct Slot {
        word: AtomicU64,
        turn: loom::cell::UnsafeCell<()>,
    }

    // SAFETY: `turn` is the only field that is not `Sync` by itself, and it holds no data.
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

    /// Stands in for the standard library's `OnceLock`, which loom lacks; only one thread may set it.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: loom::cell::UnsafeCell<Option<T>>,
    }

    // SAFETY: the value is written once, by the only thread that sets it, before it stores `is_set` (Release); others
    // read the value only after they have loaded `is_set` as true (Acquire).
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T: Clone> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), value: loom::cell::UnsafeCell::new(None) }
        }
        pub(crate) fn get(&self) -> Option<T> {
            // SAFETY: see the `Sync` implementation; loom checks it.
            self.is_set
                .load(Ordering::Acquire)
                .then(|| self.value.with(|value| unsafe { (*value).clone() }))?
        }
        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) {
            // Relaxed: only the one setter asks.
            if !self.is_set.load(Ordering::Relaxed) {
                // SAFETY: see the `Sync` implementation; loom checks it.
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
