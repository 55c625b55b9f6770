//! Worker threads, and what the calling thread does meanwhile: it reports progress, and passes on the wish to stop.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, thread};

/// The most threads of a run: more gain nothing on any machine, and each costs memory.
pub(crate) const MOST_THREADS: usize = 1024;

/// Time between two calls of a run's `progress`.
const POLL: Duration = Duration::from_millis(50);

/// Says, when asked between steps, whether the run goes on.
pub(crate) enum Watch<'a> {
    /// On a spawned thread: another thread decides.
    Shared(&'a AtomicBool),
    /// On the calling thread: `progress` decides for all threads, and is asked from time to time.
    Calling {
        progress: &'a mut dyn FnMut(usize) -> bool,
        done: &'a AtomicUsize,
        stopped: &'a AtomicBool,
        asked: Instant,
        /// Work done since the last look at the clock.
        since: usize,
    },
}

/// How much work a forward step is, not counting its spikes, each of which counts 1.
pub(crate) const A_STEP: usize = 16;
/// How much work is worth a look at the clock.
pub(crate) const A_LOOK: usize = 64 * A_STEP;

impl Watch<'_> {
    /// Whether to go on; false means to stop now. Cheap, because it is called in every step. `work` is what was done
    /// since the last call.
    #[inline]
    pub(crate) fn go_on(&mut self, work: usize) -> bool {
        match self {
            // Relaxed: the flag guards no memory; it only has to be seen eventually.
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

/// Asks `progress` whether to go on. Once it has said no it is not called again, since it may hold the reason.
fn ask(progress: &mut dyn FnMut(usize) -> bool, done: &AtomicUsize, stopped: &AtomicBool) {
    if !stopped.load(Ordering::Relaxed) && !progress(done.load(Ordering::Relaxed)) {
        stopped.store(true, Ordering::Relaxed);
    }
}

/// What workers do.
type Work<'a, R> = dyn Fn(&mut Watch<'_>) -> R + Sync + 'a;

/// What the calling thread does while the workers work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It is one of the workers. If the system does not grant all threads, the run makes do with fewer.
    Works,
    /// It only watches, unless there is just one worker. All threads are needed.
    Watches,
}

/// Runs `work` on `threads` threads, and calls `progress` on this one from time to time, with the value of `done`.
pub(crate) fn on_threads<R: Send>(
    threads: usize,
    caller: Caller,
    work: &Work<'_, R>,
    done: &AtomicUsize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<R>, Error> {
    // Read in every step, so nothing that is written often may share its cache line.
    let stopped = CachePadded::new(AtomicBool::new(false));
    let running = AtomicUsize::new(0);
    // Collected here rather than by joining, which would wait until the system has torn the thread down.
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
                // The closure was dropped, and `ended` with it, so this worker is no longer counted.
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

/// Counts a worker as ended and wakes the caller when the worker returns or panics.
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
