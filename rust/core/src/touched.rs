//! The neurons at which events arrive individually in a forward step, each listed once.

use std::ops::Range;

/// A set of places in a state's arrays.
#[derive(Debug)]
pub(crate) struct Touched {
    /// Places that were added alone. Only the first `n` entries count; there is always room for one more.
    singles: Vec<u32>,
    n: usize,
    /// Places that were added together with their neighbours.
    runs: Vec<Range<usize>>,
    /// One bit per place: whether it is in the set. Bits, because events arrive at random neurons, and bits are small
    /// enough to stay in the fastest cache.
    bits: Vec<u64>,
}

impl Touched {
    /// Room for `n` places.
    pub(crate) fn new(n: usize) -> Self {
        Self { singles: vec![0; n + 1], n: 0, runs: Vec::new(), bits: vec![0; n.div_ceil(64)] }
    }

    /// Adds places one by one.
    #[inline]
    pub(crate) fn extend(&mut self, places: impl Iterator<Item = usize>) {
        let mut n = self.n;
        for k in places {
            // Always written, but kept only if it is new: a branch on that could not be predicted.
            self.singles[n] = k as u32;
            let (bits, bit) = (&mut self.bits[k / 64], k % 64);
            n += usize::from(*bits >> bit & 1 == 0);
            *bits |= 1 << bit;
        }
        self.n = n;
    }

    /// Adds a range of places. `joins` says that it may be merged with a range that ends where it starts.
    #[inline]
    pub(crate) fn add_run(&mut self, run: Range<usize>, joins: bool) {
        if words(&run).all(|(word, mask)| self.bits[word] & mask == 0) {
            words(&run).for_each(|(word, mask)| self.bits[word] |= mask);
            match self.runs.last_mut() {
                Some(last) if joins && last.end == run.start => last.end = run.end,
                _ => self.runs.push(run),
            }
            return;
        }
        for (word, mask) in words(&run) {
            let mut new = mask & !self.bits[word];
            self.bits[word] |= mask;
            while new != 0 {
                self.singles[self.n] = (word * 64) as u32 + new.trailing_zeros();
                self.n += 1;
                new &= new - 1;
            }
        }
    }

    #[inline]
    pub(crate) fn contains(&self, k: usize) -> bool {
        self.bits[k / 64] >> (k % 64) & 1 == 1
    }

    /// Removes the places that were added alone, and yields them. The iterator must be run to its end, and `clear`
    /// called before anything is added: whole words of bits are cleared, those of `runs` among them.
    #[inline]
    pub(crate) fn drain_singles(&mut self) -> impl Iterator<Item = usize> {
        let (n, bits) = (std::mem::take(&mut self.n), &mut self.bits);
        self.singles[..n].iter().map(|k| {
            bits[*k as usize / 64] = 0;
            *k as usize
        })
    }

    /// The ranges that were added together.
    #[inline]
    pub(crate) fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// The places that were added alone.
    #[inline]
    pub(crate) fn singles(&self) -> impl Iterator<Item = usize> {
        self.singles[..self.n].iter().map(|k| *k as usize)
    }

    /// All places in the set.
    pub(crate) fn all(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().cloned().flatten().chain(self.singles())
    }

    pub(crate) fn clear(&mut self) {
        self.drain_singles().for_each(drop);
        for run in self.runs.drain(..) {
            self.bits[run.start / 64..run.end.div_ceil(64)].fill(0);
        }
    }
}

/// The words of the bit set that a range of places lies in, each with a mask of the bits that belong to the range.
#[inline]
fn words(places: &Range<usize>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = *places;
    (start / 64..end.div_ceil(64)).map(move |word| {
        let (from, to) = (start.max(word * 64) - word * 64, end.min(word * 64 + 64) - word * 64);
        (word, u64::MAX >> (64 - (to - from)) << from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_is_listed_once_however_often_and_with_whom_it_is_touched(
            added in prop::collection::vec((0..300_usize, 1..90_usize), 0..40),
        ) {
            let mut touched = Touched::new(390);
            for round in 0..2 {
                let mut expected = std::collections::BTreeSet::new();
                for &(first, n) in &added {
                    let run = first..first + n;
                    expected.extend(run.clone());
                    if n % 2 == round { touched.add_run(run, first % 3 == 0) } else { touched.extend(run) }
                }
                let mut all: Vec<usize> = touched.all().collect();
                all.sort_unstable();
                prop_assert!(all.iter().eq(&expected));
                prop_assert!((0..390).all(|k| touched.contains(k) == expected.contains(&k)));
                touched.clear();
                prop_assert!(touched.all().next().is_none() && !(0..390).any(|k| touched.contains(k)));
            }
        }
    }
}
