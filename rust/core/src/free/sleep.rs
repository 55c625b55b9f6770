//! Sleep and wake: a worker that has waited in vain for a while sleeps, and whoever makes work for it wakes it. See
//! `PROTOCOL.md`, "Sleep".

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicBool, OnceLock, Ordering, Thread, current, fence, park};

/// Which workers sleep.
#[derive(Debug)]
pub(crate) struct Sleep {
    beds: Box<[CachePadded<Bed>]>,
}

#[derive(Debug)]
struct Bed {
    /// Only ever swapped, by the worker and its wakers, so that there is no doubt which of them was last.
    asleep: AtomicBool,
    /// Set by the worker itself before it first sleeps.
    worker: OnceLock<Thread>,
}

impl Sleep {
    pub(crate) fn new(n_workers: usize) -> Self {
        let bed = || Bed { asleep: AtomicBool::new(false), worker: OnceLock::new() };
        Self { beds: (0..n_workers).map(|_| CachePadded::new(bed())).collect() }
    }

    /// Sleeps until woken, unless `has_work` says that there is something to do already. May also return spuriously.
    pub(crate) fn sleep(&self, worker: usize, has_work: impl FnOnce() -> bool) {
        let bed = &self.beds[worker];
        bed.worker.get_or_init(current);
        // Release, with the Acquire in `wake_behind_fence`: whoever sees that this worker sleeps also sees which thread
        // it is.
        bed.asleep.swap(true, Ordering::Release);
        // SeqCst, with the fence in `wake`: either the waker sees that this worker sleeps, or this worker sees the work
        // that was made for it before.
        fence(Ordering::SeqCst);
        if !has_work() {
            park();
        }
        // Relaxed: a wake that is not needed any more does no harm.
        bed.asleep.swap(false, Ordering::Relaxed);
    }

    /// Wakes a worker if it sleeps. To be called after a write that makes work for it, one that it looks at before it
    /// sleeps.
    #[inline]
    pub(crate) fn wake(&self, worker: usize) {
        fence(Ordering::SeqCst);
        self.wake_behind_fence(worker);
    }

    /// Wakes all who sleep.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        (0..self.beds.len()).for_each(|worker| self.wake_behind_fence(worker));
    }

    #[inline]
    fn wake_behind_fence(&self, worker: usize) {
        let bed = &self.beds[worker];
        // The load is Relaxed, because the fence orders it. The swap has only one of several wakers unpark the worker;
        // it is Acquire for the reason given in `sleep`.
        if bed.asleep.load(Ordering::Relaxed)
            && bed.asleep.swap(false, Ordering::Acquire)
            && let Some(worker) = bed.worker.get()
        {
            worker.unpark();
        }
    }
}
