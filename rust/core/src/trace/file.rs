//! The file form of a trace: `pyasynct`, a version, the header as JSON, the sections, and a checksum of all that.
//!
//! Little-endian: magic (8 bytes), version u32, header length u32, header, numbers of samples, bytes and potentials as
//! u64, then offsets, potential offsets (u64 each), bytes, potentials (f32 each), xxh3-64 of everything before it
//! (u64).

use xxhash_rust::xxh3::xxh3_64;

use super::{Piece, Trace, TraceHeader};
use crate::error::Error;
use crate::options::{InputMode, OnStop};

const MAGIC: &[u8; 8] = b"pyasynct";
const VERSION: u32 = 1;

impl Trace {
    /// The trace as the bytes of a file.
    #[allow(clippy::missing_panics_doc)] // a header is plain numbers and strings
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).expect("a header is plain numbers and strings");
        let mut file = Vec::with_capacity(self.nbytes() + header.len() + 64);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&(header.len() as u32).to_le_bytes());
        file.extend_from_slice(&header);
        let samples = || (0..self.n_samples()).map(|sample| self.sample(sample));
        let offsets = ends(samples().map(|(bytes, _)| bytes.len()));
        let v_offsets = ends(samples().map(|(_, v)| v.len()));
        let totals = [offsets[self.n_samples()], v_offsets[self.n_samples()]];
        for number in [self.n_samples() as u64].iter().chain(&totals).chain(&offsets).chain(&v_offsets) {
            file.extend_from_slice(&number.to_le_bytes());
        }
        samples().for_each(|(bytes, _)| file.extend_from_slice(bytes));
        samples().flat_map(|(_, v)| v).for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
        file.extend_from_slice(&xxh3_64(&file).to_le_bytes());
        file
    }

    /// Reads what `to_bytes` wrote; anything else is an error that says what is wrong.
    pub fn from_bytes(file: &[u8]) -> Result<Self, Error> {
        let wrong = |given: &str| {
            Error::Trace(format!("got {given}; accepted: a whole, unaltered trace file of version {VERSION}"))
        };
        let mut rest = file.strip_prefix(MAGIC).ok_or_else(|| {
            wrong(if MAGIC.starts_with(file) { "a truncated file" } else { "a file that is no trace" })
        })?;
        let version = u32::from_le_bytes(take(&mut rest).ok_or_else(|| wrong("a truncated file"))?);
        if version != VERSION {
            return Err(wrong(&format!("version {version}")));
        }
        let (body, checksum) = file.split_last_chunk::<8>().ok_or_else(|| wrong("a truncated file"))?;
        if body.len() < MAGIC.len() + 8 || xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return Err(wrong("a truncated or altered file (its checksum does not hold)"));
        }
        parse(&body[MAGIC.len() + 4..])
            .ok_or_else(|| wrong("a file whose header or sections are not those of a trace"))
    }
}

/// 0, then the running sums of the lengths.
fn ends(lengths: impl Iterator<Item = usize>) -> Vec<u64> {
    let ends = lengths.scan(0, |end, length| {
        *end += length as u64;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// Whether a run can have written this header.
fn is_sound(header: &TraceHeader) -> bool {
    let layered = header.schedule == "layered";
    let known = ["random", "momentum", "fifo", "lifo", "priority", "custom", "free"];
    if !header.shards.is_empty()
        && (header.schedule != "free" || header.shards.last() != Some(&header.n_neurons))
    {
        return false;
    }
    let usual = header.input_mode == InputMode::AtOnce && header.on_stop == OnStop::Discard;
    ["float32", "float64"].contains(&header.dtype.as_str())
        && header.n_timesteps > 0
        && if layered {
            header.group_size == 0 && usual
        } else {
            header.group_size > 0 && known.contains(&header.schedule.as_str())
        }
}

fn parse(mut body: &[u8]) -> Option<Trace> {
    let rest = &mut body;
    let header_length = u32::from_le_bytes(take(rest)?) as usize;
    let header: TraceHeader = serde_json::from_slice(split(rest, header_length)?).ok()?;
    if !is_sound(&header) {
        return None;
    }
    let mut length = || take(rest).map(|bytes| u64::from_le_bytes(bytes) as usize);
    let (n_samples, n_bytes, n_v) = (length()?, length()?, length()?);
    let mut offsets = |end: usize| {
        let bytes = split(rest, n_samples.checked_add(1)?.checked_mul(8)?)?;
        let offsets: Vec<u64> =
            bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect();
        (offsets[0] == 0 && offsets.is_sorted() && offsets[n_samples] == end as u64).then_some(offsets)
    };
    let (offsets, v_offsets) = (offsets(n_bytes)?, offsets(n_v)?);
    let bytes = split(rest, n_bytes)?.to_vec();
    let v = split(rest, n_v.checked_mul(4)?)?
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
        .collect();
    rest.is_empty().then(|| Trace::of_piece(header, Piece::new(bytes, offsets, v, v_offsets)))
}

fn split<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(n)?;
    *rest = tail;
    Some(head)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    split(rest, N)?.try_into().ok()
}
