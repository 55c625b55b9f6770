//! A sample's bytes. Records follow each other; the high half of a record's first byte says what it is:
//!
//! | high | low | record |
//! |---|---|---|
//! | 0-13 | 0-14 | a forward step that emitted `high` spikes and in which `low` neurons fired |
//! | 14 | | the same; the number emitted, less 14, follows as a varint |
//! | 15 | 0-9 | the timestep ended, with [`Ending::code`] |
//! | 15 | 10 | input spikes joined: their number, then their channels |
//!
//! If the trace has shards, the step's shard follows the first byte. In a step, `low` = 15 says that the number fired,
//! less 15, follows as a varint. Then come the emitted spikes, each as a zigzag varint: its arrival number less that of
//! the spike that a FIFO (of the shard) would have emitted, so nearly always one byte. Then come the neurons that
//! fired, ascending, each as a varint: how many ids it skips after the one before. Input channels are written in the
//! same way. If the header says that there are dropouts, the fates of the neurons that fired follow, two bits each (1:
//! skipped refractoriness, 2: lost), four to a byte. Potentials at firing are stored apart, as `f32`.

use super::Piece;
use crate::error::Error;
use crate::options::Ending;
use crate::schedule::Pending;

const CONTROL: u8 = 0xF0;
const INPUTS: u8 = 10;
/// Bytes of the longest 32-bit varint.
const LONGEST_VARINT: usize = 5;
/// The smallest size to which a writer's buffer grows.
const PIECE: usize = 4096;
const MANY_EMITTED: usize = 14;
const MANY_FIRED: usize = 15;

/// Writes one sample after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Grown in large pieces; only the first `len` bytes have been written.
    bytes: Vec<u8>,
    len: usize,
    pub(crate) v: Vec<f32>,
    /// Where each sample ends in `bytes`, and below in `v`, after a 0.
    offsets: Vec<u64>,
    v_offsets: Vec<u64>,
    /// Spikes that have joined in this sample, and those among them that have been emitted or
    /// dropped.
    joined: u32,
    resolved: u32,
    has_fates: bool,
    /// By shard: the arrival number that the shard would emit next as a FIFO; empty without shards.
    next_of_shard: Vec<u32>,
}

impl Writer {
    pub(crate) fn new(has_fates: bool, n_shards: usize) -> Self {
        let n_shards = if n_shards > 1 { n_shards } else { 0 };
        let next_of_shard = vec![0; n_shards];
        Self { has_fates, next_of_shard, offsets: vec![0], v_offsets: vec![0], ..Self::default() }
    }

    pub(crate) fn begin_sample(&mut self) {
        self.begin_stretch(0);
    }

    /// Begins a sample at a timestep before which `joined` spikes have joined, none of which is still pending.
    pub(crate) fn begin_stretch(&mut self, joined: u32) {
        (self.joined, self.resolved) = (joined, joined);
        self.next_of_shard.fill(joined);
    }

    pub(crate) fn end_sample(&mut self) {
        self.offsets.push(self.len as u64);
        self.v_offsets.push(self.v.len() as u64);
    }

    /// Returns all samples that were written.
    pub(crate) fn finish(mut self) -> Piece {
        self.bytes.truncate(self.len);
        Piece::new(self.bytes, self.offsets, self.v, self.v_offsets)
    }

    #[inline(never)] // inlined into a run's loop, it would cost registers even if nothing is recorded
    pub(crate) fn step(&mut self, shard: usize, emitted: &[Pending], fired: &[u32], fates: &[u8]) {
        self.step_of(shard, emitted.iter().map(|spike| spike.arrival()), fired.iter().copied(), fates);
    }

    #[inline]
    pub(crate) fn step_of(
        &mut self,
        shard: usize,
        emitted: impl ExactSizeIterator<Item = u32>,
        fired: impl ExactSizeIterator<Item = u32>,
        fates: &[u8],
    ) {
        let is_sharded = !self.next_of_shard.is_empty();
        let mut resolved = if is_sharded { self.next_of_shard[shard] } else { self.resolved };
        let fates = if self.has_fates { fates } else { &[] };
        let (n_emitted, n_fired) = (emitted.len(), fired.len());
        self.write(4 + n_emitted + n_fired + fates.len(), |out| {
            out.byte((n_emitted.min(MANY_EMITTED) << 4 | n_fired.min(MANY_FIRED)) as u8);
            if is_sharded {
                out.varint(shard as u32);
            }
            if n_emitted >= MANY_EMITTED {
                out.varint((n_emitted - MANY_EMITTED) as u32);
            }
            if n_fired >= MANY_FIRED {
                out.varint((n_fired - MANY_FIRED) as u32);
            }
            for arrival in emitted {
                let distance = arrival.wrapping_sub(resolved) as i32;
                out.varint((distance << 1 ^ distance >> 31) as u32);
                resolved = if is_sharded { arrival.wrapping_add(1) } else { resolved.wrapping_add(1) };
            }
            out.ascending(fired);
            for four in fates.chunks(4) {
                out.byte(four.iter().rev().fold(0, |byte, fate| byte << 2 | fate));
            }
        });
        match self.next_of_shard.get_mut(shard) {
            Some(next) => *next = resolved,
            None => self.resolved = resolved,
        }
        self.joined += n_fired as u32;
    }

    pub(crate) fn inputs_joined(&mut self, channels: &[u32]) {
        self.write(2 + channels.len(), |out| {
            out.byte(CONTROL | INPUTS);
            out.varint(channels.len() as u32);
            out.ascending(channels.iter().copied());
        });
        self.joined += channels.len() as u32;
    }

    pub(crate) fn end_timestep(&mut self, ending: Ending) {
        self.write(1, |out| out.byte(CONTROL | ending.code()));
        if !matches!(ending, Ending::Carried(_)) {
            self.resolved = self.joined;
            self.next_of_shard.fill(self.joined);
        }
    }

    /// Writes at most this many numbers; room for all of them is made at once, not byte by byte.
    #[inline]
    fn write(&mut self, numbers: usize, write: impl FnOnce(&mut Bytes<'_>)) {
        let most = self.len + numbers * LONGEST_VARINT;
        if self.bytes.len() < most {
            self.bytes.resize((2 * most).max(PIECE), 0);
        }
        let mut out = Bytes { to: &mut self.bytes[self.len..most], at: 0 };
        write(&mut out);
        self.len += out.at;
    }
}

/// A buffer into which bytes are written one after the other.
struct Bytes<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl Bytes<'_> {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.to[self.at] = byte;
        self.at += 1;
    }

    #[inline]
    fn ascending(&mut self, ids: impl Iterator<Item = u32>) {
        let mut next = 0;
        for id in ids {
            self.varint(id - next);
            next = id + 1;
        }
    }

    #[inline]
    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
}

/// A record that a [`Cursor`] has read; its spikes are in the cursor's buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Record {
    /// `emitted` and `fired` hold the step.
    Step,
    /// `fired` holds the channels.
    InputsJoined,
    TimestepEnded(Ending),
}

/// Reads one sample's records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    at: usize,
    joined: u32,
    resolved: u32,
    /// Arrival numbers that the step emitted.
    pub(crate) emitted: Vec<u32>,
    /// Neurons that fired in the step, or channels that joined; ascending.
    pub(crate) fired: Vec<u32>,
    has_fates: bool,
    /// As in `Writer`.
    next_of_shard: Vec<u32>,
    /// The shard whose step was read; 0 without shards.
    pub(crate) shard: usize,
    /// Fates of the neurons that fired in the step; empty without dropouts.
    pub(crate) fates: Vec<u8>,
}

impl Cursor {
    pub(crate) fn new(has_fates: bool, n_shards: usize) -> Self {
        let n_shards = if n_shards > 1 { n_shards } else { 0 };
        Self { has_fates, next_of_shard: vec![0; n_shards], ..Self::default() }
    }

    /// Goes back to the start of a sample.
    pub(crate) fn rewind(&mut self) {
        (self.at, self.joined, self.resolved) = (0, 0, 0);
        self.next_of_shard.fill(0);
    }

    /// Whether all records have been read.
    pub(crate) fn at_end(&self, bytes: &[u8]) -> bool {
        self.at >= bytes.len()
    }

    /// How the timestep ends, if that is the next record.
    pub(crate) fn peek_ending(&self, bytes: &[u8]) -> Option<Ending> {
        bytes.get(self.at).filter(|byte| **byte >= CONTROL).and_then(|byte| Ending::from_code(byte & 0xF))
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Record, Error> {
        self.clear();
        self.append(bytes)
    }

    /// Forgets what has been read.
    pub(crate) fn clear(&mut self) {
        self.emitted.clear();
        self.fired.clear();
        self.fates.clear();
    }

    /// Reads the next record, and appends its spikes to those that have been read.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<Record, Error> {
        let first = self.byte(bytes)?;
        if first < CONTROL {
            let mut n_emitted = usize::from(first >> 4);
            let mut n_fired = usize::from(first & 0xF);
            let is_sharded = !self.next_of_shard.is_empty();
            if is_sharded {
                self.shard = self.varint(bytes)? as usize;
                self.resolved = *self.next_of_shard.get(self.shard).ok_or_else(|| {
                    Error::Trace(format!("got shard {}; accepted: shards of the trace", self.shard))
                })?;
            }
            if n_emitted == MANY_EMITTED {
                n_emitted += self.varint(bytes)? as usize;
            }
            if n_fired == MANY_FIRED {
                n_fired += self.varint(bytes)? as usize;
            }
            for _ in 0..n_emitted {
                let zigzag = self.varint(bytes)?;
                let arrival = self.resolved.wrapping_add(zigzag >> 1 ^ (zigzag & 1).wrapping_neg());
                self.emitted.push(arrival);
                self.resolved = if is_sharded { arrival } else { self.resolved }.wrapping_add(1);
            }
            if let Some(next) = self.next_of_shard.get_mut(self.shard) {
                *next = self.resolved;
            }
            self.ascending(bytes, n_fired)?;
            for first in (0..if self.has_fates { n_fired } else { 0 }).step_by(4) {
                let byte = self.byte(bytes)?;
                self.fates.extend((0..4.min(n_fired - first)).map(|at| byte >> (2 * at) & 3));
            }
            return Ok(Record::Step);
        }
        match (first & 0xF, Ending::from_code(first & 0xF)) {
            (INPUTS, _) => {
                let n = self.varint(bytes)? as usize;
                self.ascending(bytes, n)?;
                Ok(Record::InputsJoined)
            }
            (_, Some(ending)) => {
                if !matches!(ending, Ending::Carried(_)) {
                    self.resolved = self.joined;
                    self.next_of_shard.fill(self.joined);
                }
                Ok(Record::TimestepEnded(ending))
            }
            (code, None) => {
                Err(Error::Trace(format!("got the unknown record {code}; accepted: records of this version")))
            }
        }
    }

    fn ascending(&mut self, bytes: &[u8], n: usize) -> Result<(), Error> {
        let mut next = 0_u32;
        for _ in 0..n {
            let id = next.checked_add(self.varint(bytes)?).filter(|id| *id < u32::MAX);
            let id = id.ok_or_else(|| {
                Error::Trace("got a neuron id beyond 32 bits; accepted: ids of the network".into())
            })?;
            self.fired.push(id);
            next = id + 1;
        }
        self.joined = self.joined.wrapping_add(n as u32);
        Ok(())
    }

    fn byte(&mut self, bytes: &[u8]) -> Result<u8, Error> {
        let byte = bytes
            .get(self.at)
            .copied()
            .ok_or_else(|| Error::Trace("got a sample that breaks off; accepted: whole samples".into()))?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads a number; nearly all are one byte.
    #[inline]
    fn varint(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        match bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(bytes),
        }
    }

    fn long_varint(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte(bytes)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return u32::try_from(value)
                    .map_err(|_| Error::Trace(format!("got the number {value}; accepted: 32-bit numbers")));
            }
            shift += 7;
            if shift > 28 {
                return Err(Error::Trace(
                    "got a number of more than five bytes; accepted: 32-bit numbers".into(),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_survive_the_round_trip(
            steps in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..40), prop::collection::btree_set(0..u32::MAX - 1, 0..40)), 0..20),
            has_fates: bool,
            n_shards in 1..4_usize,
        ) {
            let mut writer = Writer::new(has_fates, n_shards);
            let fates = |n: usize| (0..n).map(|at| (at % 4) as u8).collect::<Vec<_>>();
            for (number, (emitted, fired)) in steps.iter().enumerate() {
                let neurons = fired.iter().copied().collect::<Vec<_>>();
                writer.step_of(number % n_shards, emitted.iter().copied(), neurons.iter().copied(), &fates(fired.len()));
            }
            writer.end_timestep(Ending::Quiescent);
            writer.end_sample();
            let piece = writer.finish();
            let (bytes, _) = piece.sample(0);
            let mut cursor = Cursor::new(has_fates, n_shards);
            for (number, (emitted, fired)) in steps.iter().enumerate() {
                prop_assert_eq!(cursor.next(bytes).unwrap(), Record::Step);
                prop_assert_eq!(cursor.shard, number % n_shards);
                prop_assert_eq!(&cursor.emitted, emitted);
                prop_assert!(cursor.fired.iter().eq(fired));
                prop_assert_eq!(&cursor.fates, &fates(if has_fates { fired.len() } else { 0 }));
            }
            prop_assert_eq!(cursor.peek_ending(bytes), Some(Ending::Quiescent));
            prop_assert_eq!(cursor.next(bytes).unwrap(), Record::TimestepEnded(Ending::Quiescent));
            prop_assert!(cursor.at_end(bytes));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), has_fates: bool, n_shards in 1..4_usize) {
            let mut cursor = Cursor::new(has_fates, n_shards);
            while !cursor.at_end(&bytes) && cursor.next(&bytes).is_ok() {}
        }
    }
}
