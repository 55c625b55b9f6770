//! Rings, sleep, quiescence and epochs, one by one.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::check;
use crate::free::quiescence::Quiescence;
use crate::free::ring::{Message, Ring};
use crate::free::sleep::Sleep;
use crate::sync::yield_now;

// ---- Inbox ----

/// Nothing is lost, doubled or reordered, though there are fewer slots than spikes, so that slots are written again.
#[test]
fn a_ring_gives_every_spike_once_and_in_order() {
    check(None, || {
        let ring = Arc::new(Ring::new(2));
        let writer = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                let spikes = [1, 2, 3, 4].map(|n| Message::new(n, n + 10));
                let mut written = 0;
                while written < spikes.len() {
                    let n = ring.write(&spikes[written..]);
                    assert!(n <= 2);
                    written += n;
                    if n == 0 {
                        yield_now();
                    }
                }
            })
        };
        let mut read = Vec::new();
        while read.len() < 4 {
            if ring.read(|spike| read.push((spike.serial(), spike.source()))) == 0 {
                yield_now();
            }
        }
        assert_eq!(read, [(1, 11), (2, 12), (3, 13), (4, 14)]);
        writer.join().unwrap();
        assert!(!ring.has_some());
    });
}

// ---- Sleep ----

/// A worker that sleeps is woken by the work that is made for it, even the first time, when it is just being written
/// down which thread it is.
#[test]
fn a_spike_wakes_the_worker_it_is_for() {
    check(None, || {
        let shared = Arc::new((Ring::new(2), Sleep::new(1)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for serial in 0..2 {
                    assert_eq!(shared.0.write(&[Message::new(serial, 0)]), 1);
                    shared.1.wake(0);
                }
            })
        };
        let mut read = 0;
        while read < 2 {
            let n = shared.0.read(|_| ());
            read += n;
            if n == 0 {
                shared.1.sleep(0, || shared.0.has_some());
            }
        }
        sender.join().unwrap();
    });
}

/// Of two wakers at once, one may leave it to the other to unpark the worker; no wake is lost.
#[test]
fn two_spikes_at_once_wake_the_worker_they_are_for() {
    check(Some(3), || {
        let shared = Arc::new(([Ring::new(1), Ring::new(1)], Sleep::new(1)));
        let senders = [0, 1].map(|sender| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                assert_eq!(shared.0[sender].write(&[Message::new(0, 0)]), 1);
                shared.1.wake(0);
            })
        });
        let mut read = 0;
        while read < 2 {
            let n = shared.0.iter().map(|ring| ring.read(|_| ())).sum::<usize>();
            read += n;
            if n == 0 {
                shared.1.sleep(0, || shared.0.iter().any(Ring::has_some));
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// Whoever begins the next timestep wakes all who sleep.
#[test]
fn the_next_timestep_wakes_all_who_sleep() {
    check(Some(3), || {
        let shared = Arc::new((Quiescence::new(3, 3), Sleep::new(3)));
        let sleepers = [1, 2].map(|worker| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                while shared.0.epoch() == 0 {
                    shared.1.sleep(worker, || shared.0.epoch() != 0);
                }
            })
        });
        assert!(shared.0.advance(0));
        shared.1.wake_all();
        assert!(!shared.0.advance(0));
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    });
}

// ---- Quiescence ----

/// Whoever finds a timestep over finds that all that was sent has been delivered, and sees what the deliveries did.
/// Here it is a thread that has no part in them.
#[test]
fn a_timestep_is_over_when_what_was_sent_is_delivered() {
    check(Some(3), || {
        let shared = Arc::new((Quiescence::new(2, 2), Ring::new(1), UnsafeCell::new(0)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.publish_sent(0, 1);
                assert_eq!(shared.1.write(&[Message::new(0, 0)]), 1);
                // Its step 0.
                shared.0.publish_completed(0, 1);
            })
        };
        let receiver = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.publish_completed(1, 1);
                while shared.1.read(|_| ()) == 0 {
                    yield_now();
                }
                // SAFETY: loom checks that nobody else touches it.
                shared.2.with_mut(|delivered| unsafe { *delivered = 1 });
                shared.0.publish_completed(1, 2);
            })
        };
        if shared.0.is_quiescent(0) {
            // SAFETY: loom checks that nobody writes it meanwhile.
            assert_eq!(shared.2.with(|delivered| unsafe { *delivered }), 1);
        }
        sender.join().unwrap();
        receiver.join().unwrap();
    });
}

/// Of workers that finish at the same time and then go to sleep, one finds before it sleeps that the timestep is over.
#[test]
fn of_workers_that_finish_at_once_one_notices() {
    check(None, || {
        let parts = Arc::new((Quiescence::new(2, 2), Sleep::new(2)));
        let finish = |worker: usize| {
            let parts = Arc::clone(&parts);
            move || {
                let (quiescence, sleep) = &*parts;
                quiescence.publish_completed(worker, 1);
                while !quiescence.is_quiescent(0) && quiescence.epoch() == 0 {
                    sleep.sleep(worker, || quiescence.is_quiescent(0) || quiescence.epoch() != 0);
                }
                if quiescence.advance(0) {
                    sleep.wake_all();
                }
            }
        };
        let other = thread::spawn(finish(1));
        finish(0)();
        other.join().unwrap();
        assert_eq!(parts.0.epoch(), 1);
    });
}

/// What one worker writes down in a timestep, all may read when it is over, and nobody still reads it when it is
/// overwritten two timesteps later. So two words are enough for how timesteps ended.
#[test]
fn a_timestep_is_over_for_all_before_the_next_but_one_begins() {
    type Parts = (Quiescence, Sleep, [UnsafeCell<u64>; 2]);
    fn work((quiescence, sleep, places): &Parts, worker: usize) {
        for epoch in 0..3 {
            let place = &places[epoch as usize & 1];
            if worker == 0 {
                // SAFETY: loom checks that nobody else touches it.
                place.with_mut(|place| unsafe { *place = epoch });
            }
            quiescence.publish_completed(worker, epoch + 1);
            while quiescence.epoch() == epoch {
                if quiescence.is_quiescent(epoch) {
                    if quiescence.advance(epoch) {
                        sleep.wake_all();
                    }
                    break;
                }
                sleep.sleep(worker, || quiescence.epoch() != epoch || quiescence.is_quiescent(epoch));
            }
            // SAFETY: loom checks that nobody writes it meanwhile.
            assert_eq!(place.with(|place| unsafe { *place }), epoch);
        }
    }
    check(Some(3), || {
        let places = [UnsafeCell::new(0), UnsafeCell::new(0)];
        let parts = Arc::new((Quiescence::new(2, 2), Sleep::new(2), places));
        let other = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || work(&parts, 1))
        };
        work(&parts, 0);
        other.join().unwrap();
    });
}

/// A worker that learns only from the epoch that a timestep is over sees what was done in it all the same.
#[test]
fn the_epoch_tells_all_that_the_timestep_did() {
    check(None, || {
        let parts = Arc::new((Quiescence::new(1, 1), UnsafeCell::new(0)));
        let worker = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || {
                // SAFETY: loom checks that nobody else touches it.
                parts.1.with_mut(|place| unsafe { *place = 1 });
                parts.0.publish_completed(0, 1);
                assert!(parts.0.is_quiescent(0) && parts.0.advance(0));
            })
        };
        while parts.0.epoch() == 0 {
            yield_now();
        }
        // SAFETY: loom checks that nobody writes it meanwhile.
        assert_eq!(parts.1.with(|place| unsafe { *place }), 1);
        worker.join().unwrap();
    });
}
