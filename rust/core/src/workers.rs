//! Worker threads, and what goes on meanwhile on the thread that called: progress, and the wish to stop.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, thread};

/// More threads than this gain nothing on any machine and cost memory each.
pub(crate) const MOST_THREADS: usize = 1024;

/// Time between two calls of a run's `progress`.
const POLL: Duration = Duration::from_millis(50);

/// Asked between steps whether the run goes on.
pub(crate) enum Watch<'a> {
    /// On a thread of its own: another thread says.
    Shared(&'a AtomicBool),
    /// On the calling thread: `progress` says, every now and then, for all.
    Calling {
        progress: &'a mut dyn FnMut(usize) -> bool,
        done: &'a AtomicUsize,
        stopped: &'a AtomicBool,
        asked: Instant,
        /// Work since the clock was last looked at.
        since: usize,
    },
}

/// Work of a forward step besides that of its spikes, each of which counts 1.
pub(crate) const A_STEP: usize = 16;
/// So much work is worth a look at the clock.
pub(crate) const A_LOOK: usize = 64 * A_STEP;

impl Watch<'_> {
    /// False: stop now. Cheap, because it is asked in every step. `work`: what was done since it was last asked.
    #[inline]
    pub(crate) fn go_on(&mut self, work: usize) -> bool {
        match self {
            // Relaxed: the flag guards no memory; it only has to be seen some time.
            Self::Shared(stopped) => !stopped.load(Ordering::Relaxed),
            Self::Calling { progress, done, stopped, asked, since } => {
                *since += work;
                if *since >= A_LOOK {
                    *since = 0;
                    if asked.elapsed() >= POLL {
                        *asked = Instant::now();
                        ask(*progress, done, stopped);
                    }
                }
                !stopped.load(Ordering::Relaxed)
            }
        }
    }

    /// Stops all workers.
    pub(crate) fn stop(&self) {
        let (Self::Shared(stopped) | Self::Calling { stopped, .. }) = self;
        stopped.store(true, Ordering::Relaxed);
    }
}

/// What has said no is not asked again: it may hold the reason.
fn ask(progress: &mut dyn FnMut(usize) -> bool, done: &AtomicUsize, stopped: &AtomicBool) {
    if !stopped.load(Ordering::Relaxed) && !progress(done.load(Ordering::Relaxed)) {
        stopped.store(true, Ordering::Relaxed);
    }
}

/// What workers do.
type Work<'a, R> = dyn Fn(&mut Watch<'_>) -> R + Sync + 'a;

/// What the thread that called does while workers work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It is one of them. The others are as many as the system gives.
    Works,
    /// It only looks on, unless there is one worker in all. All threads are needed.
    Watches,
}

/// Runs `work` on so many threads, and `progress` now and then on this one. `done`: what `progress` is told.
pub(crate) fn on_threads<R: Send>(
    threads: usize,
    caller: Caller,
    work: &Work<'_, R>,
    done: &AtomicUsize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<R>, Error> {
    // Read in every step, so nothing that is written as often may share its cache line.
    let stopped = CachePadded::new(AtomicBool::new(false));
    let running = AtomicUsize::new(0);
    // Not what joining gives: that would wait until the system has taken a thread down.
    let results = Mutex::new(Vec::with_capacity(threads));
    let run = |watch: &mut Watch<'_>| {
        let result = catch_unwind(AssertUnwindSafe(|| work(watch)));
        results.lock().expect("nothing panics while it holds the lock").push(result);
    };
    let works = caller == Caller::Works || threads == 1;
    thread::scope(|scope| {
        let calling = thread::current();
        for _ in usize::from(works)..threads {
            running.fetch_add(1, Ordering::Relaxed);
            let ended = Ended { running: &running, caller: calling.clone() };
            let (run, stopped): (_, &AtomicBool) = (&run, &stopped);
            let spawned = thread::Builder::new().spawn_scoped(scope, move || {
                let _ended = ended;
                run(&mut Watch::Shared(stopped));
            });
            match spawned {
                Ok(_) => {}
                // Dropped with the closure, `ended` has counted itself off.
                Err(_) if works => break,
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    return Err(Error::input("threads", format!("{threads} ({error})"), "fewer threads"));
                }
            }
        }
        if works {
            let (done, stopped, progress) = (done, &stopped, &mut *progress);
            run(&mut Watch::Calling { progress, done, stopped, asked: Instant::now(), since: 0 });
        }
        // Relaxed: the results come through the mutex.
        while running.load(Ordering::Relaxed) > 0 {
            thread::park_timeout(POLL);
            ask(progress, done, &stopped);
        }
        Ok(())
    })?;
    let results = results.into_inner().expect("nothing panics while it holds the lock");
    results.into_iter().map(|result| result.map_err(panicked)).collect()
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Error::Panic(text.unwrap_or("no message").to_owned())
}

/// Counts a worker off and wakes the caller when it ends, in a panic too.
struct Ended<'a> {
    running: &'a AtomicUsize,
    caller: thread::Thread,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.caller.unpark();
    }
}
