//! The inbox: a bounded ring of spikes from one worker to one shard of another. One side writes, the other reads,
//! neither waits. See `PROTOCOL.md`, "Inbox".

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Ordering, Slot};

/// A spike on its way: which of its shard's spikes in the sample it is, and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message(u64);

impl Message {
    #[inline]
    pub(crate) fn new(serial: u32, source: u32) -> Self {
        Self(u64::from(serial) << 32 | u64::from(source))
    }
    #[inline]
    pub(crate) fn serial(self) -> u32 {
        (self.0 >> 32) as u32
    }
    #[inline]
    pub(crate) fn source(self) -> u32 {
        self.0 as u32
    }
}

/// One writer, one reader, a power of two of slots.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Slot]>,
    /// Spikes read since the beginning; written by the reader.
    head: CachePadded<AtomicUsize>,
    /// Spikes written since the beginning; written by the writer.
    tail: CachePadded<AtomicUsize>,
}

impl Ring {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots.next_power_of_two()).map(|_| Slot::new(0)).collect(),
            head: CachePadded::new(AtomicUsize::new(0)),
            tail: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    #[inline]
    fn slot(&self, at: usize) -> &Slot {
        &self.slots[at & (self.slots.len() - 1)]
    }

    /// Writes as many of the spikes as there is room for, and returns how many; all of them become visible at once.
    /// Only the one writer may call it.
    pub(crate) fn write(&self, spikes: &[Message]) -> usize {
        // Relaxed: the writer reads what it wrote itself.
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire, with the reader's Release: a slot is written again only after it was read.
        let head = self.head.load(Ordering::Acquire);
        let room = self.slots.len() - tail.wrapping_sub(head);
        let n = spikes.len().min(room);
        for (at, spike) in spikes[..n].iter().enumerate() {
            // Relaxed: the store of `tail` publishes the slots.
            self.slot(tail.wrapping_add(at)).store(spike.0, Ordering::Relaxed);
        }
        if n > 0 {
            // Release, with the reader's Acquire: the writes to the slots, and to the writer's tally, come before.
            self.tail.store(tail.wrapping_add(n), Ordering::Release);
        }
        n
    }

    /// Reads all spikes that are there, and returns how many. Only the one reader may call it.
    pub(crate) fn read(&self, mut take: impl FnMut(Message)) -> usize {
        // Relaxed: the reader reads what it wrote itself.
        let head = self.head.load(Ordering::Relaxed);
        // Acquire, with the writer's Release: the slots up to here are written.
        let tail = self.tail.load(Ordering::Acquire);
        let n = tail.wrapping_sub(head);
        for at in 0..n {
            // Relaxed: ordered by the load of `tail`.
            take(Message(self.slot(head.wrapping_add(at)).load(Ordering::Relaxed)));
        }
        if n > 0 {
            // Release, with the writer's Acquire: the slots have been read before they are free.
            self.head.store(tail, Ordering::Release);
        }
        n
    }

    /// Whether there is something to read, as far as the reader can see.
    pub(crate) fn has_some(&self) -> bool {
        // Relaxed, both: an empty look is confirmed behind a fence before anyone sleeps on it.
        self.head.load(Ordering::Relaxed) != self.tail.load(Ordering::Relaxed)
    }
}
