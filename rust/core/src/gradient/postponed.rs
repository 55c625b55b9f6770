//! Input spikes whose contribution to the gradient of dense weights is added later, channel by channel.
//!
//! A spike adds its timestep's adjoints to the row of its channel. Done one timestep after the other, that fetches row
//! after row of a gradient that the fast caches do not hold, only to change each row once. If spikes are kept until a
//! channel has several, these change its row together, from adjoints that the caches do hold. The additions to each row
//! stay in their order, so no bit depends on it.

use super::Pass;
use crate::aligned::Aligned;
use crate::float::Float;
use crate::network::{Connection, Source};
use crate::places::Laid;
use crate::projection::Target;

/// The most bytes of adjoints that are kept.
const MOST_BYTES: usize = 128 << 10;
/// The most spikes that are kept, not counting those of the last timestep.
const MOST_SPIKES: usize = 16 << 10;
/// The smallest gradient that is worth it, in bytes: smaller ones are in the fast caches anyway.
const FEWEST_GRADIENT_BYTES: usize = 128 << 10;
/// With fewer spikes per channel, sorting them would take longer than it saves.
const FEWEST_PER_CHANNEL: usize = 2;

/// What one worker keeps, by projection; `None` where spikes are learned at once.
#[derive(Debug)]
pub(super) struct Postponed<T> {
    of: Vec<Option<Kept<T>>>,
}

#[derive(Debug)]
struct Kept<T> {
    n_out: usize,
    /// Adjoints of the target's neurons, one row for each timestep; only the first `ends.len()` rows count.
    adjoints: Aligned<T>,
    /// (channel, multiplicity), and where those of each row end.
    spikes: Vec<(u32, T)>,
    ends: Vec<usize>,
    /// Buffers: (row, multiplicity) of the spikes, sorted by channel, and where those of each channel begin.
    sorted: Vec<(u32, T)>,
    places: Vec<u32>,
}

impl<T: Float> Postponed<T> {
    pub(super) fn new(pass: &Pass<'_, T>) -> Self {
        let is_sharded = pass.shards.len() > 1;
        let of = pass.network.connections.iter().map(|connection| {
            let projection = &connection.projection;
            let is_kept = !is_sharded
                && connection.source == Source::Input
                && projection.is_dense()
                && projection.gradient_len() * size_of::<T>() >= FEWEST_GRADIENT_BYTES;
            is_kept.then(|| Kept::new(projection.n_in, projection.n_out))
        });
        Self { of: of.collect() }
    }

    /// The adjoint of delivering a timestep's input spikes through projection `c`, with respect to the weights; added
    /// to `gradient` now or later.
    pub(super) fn learn(
        &mut self,
        c: usize,
        connection: &Connection<T>,
        spikes: &[(u32, T)],
        target: Target,
        b: Laid<'_, T>,
        gradient: &mut [T],
    ) {
        match &mut self.of[c] {
            None => connection.projection.learn(spikes, target, b, gradient),
            Some(kept) => kept.keep(spikes, b.by_id(), gradient),
        }
    }

    /// Adds everything that has been postponed.
    pub(super) fn add(&mut self, gradients: &mut [Aligned<T>]) {
        for (kept, gradient) in self.of.iter_mut().zip(gradients) {
            if let Some(kept) = kept {
                kept.add(gradient);
            }
        }
    }
}

impl<T: Float> Kept<T> {
    fn new(n_in: usize, n_out: usize) -> Self {
        Self {
            n_out,
            adjoints: Aligned::zeros((MOST_BYTES / size_of::<T>()).next_multiple_of(n_out)),
            spikes: Vec::new(),
            ends: Vec::new(),
            sorted: Vec::new(),
            places: vec![0; n_in],
        }
    }

    fn keep(&mut self, spikes: &[(u32, T)], b: &[T], gradient: &mut [T]) {
        if spikes.is_empty() {
            return;
        }
        let start = self.ends.len() * self.n_out;
        self.adjoints[start..start + self.n_out].copy_from_slice(b);
        self.spikes.extend_from_slice(spikes);
        self.ends.push(self.spikes.len());
        if start + self.n_out == self.adjoints.len() || self.spikes.len() >= MOST_SPIKES {
            self.add(gradient);
        }
    }

    fn add(&mut self, gradient: &mut [T]) {
        if self.spikes.len() < FEWEST_PER_CHANNEL * self.places.len() {
            self.add_by_row(gradient);
        } else {
            self.add_by_channel(gradient);
        }
        self.spikes.clear();
        self.ends.clear();
    }

    fn add_by_row(&self, gradient: &mut [T]) {
        let mut start = 0;
        for (b, &end) in self.adjoints.chunks_exact(self.n_out).zip(&self.ends) {
            T::scatter(gradient, (self.n_out, 0), b, &self.spikes[start..end]);
            start = end;
        }
    }

    fn add_by_channel(&mut self, gradient: &mut [T]) {
        let Self { n_out, adjoints, spikes, ends, sorted, places } = self;
        places.fill(0);
        for &(channel, _) in &*spikes {
            places[channel as usize] += 1;
        }
        let mut start = 0;
        for place in &mut *places {
            start += std::mem::replace(place, start);
        }
        sorted.resize(spikes.len(), (0, T::ZERO));
        let mut start = 0;
        for (row, &end) in (0..).zip(&*ends) {
            for &(channel, m) in &spikes[start..end] {
                let place = &mut places[channel as usize];
                sorted[*place as usize] = (row, m);
                *place += 1;
            }
            start = end;
        }
        // Each of `places` is now where its channel's spikes end.
        let mut start = 0;
        for (gradient, &end) in gradient.chunks_exact_mut(*n_out).zip(&*places) {
            T::add_rows(gradient, adjoints, (*n_out, 0), &sorted[start..end as usize]);
            start = end as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::ReverseKernels;
    use crate::rng::Philox;

    /// Timesteps of random spikes: each channel spikes in one of `every` timesteps.
    fn added(n_in: usize, n_out: usize, n_timesteps: usize, every: u32) {
        let mut random = Philox::new(n_in as u64, n_out as u64, n_timesteps as u64, 0, 0).draws();
        let mut number = |below: u32| random.next().expect("without end") as u32 % below;
        let (mut kept, mut later, mut now) =
            (Kept::new(n_in, n_out), vec![0.5_f32; n_in * n_out], vec![0.5_f32; n_in * n_out]);
        for _ in 0..n_timesteps {
            let b: Vec<f32> = (0..n_out).map(|_| number(2001) as f32 / 1000.0 - 1.0).collect();
            let mut spikes = Vec::new();
            for channel in 0..n_in as u32 {
                if number(every) == 0 {
                    spikes.push((channel, 1.0 + number(4) as f32 / 3.0));
                }
            }
            kept.keep(&spikes, &b, &mut later);
            f32::scatter(&mut now, (n_out, 0), &b, &spikes);
        }
        kept.add(&mut later);
        assert!(kept.spikes.is_empty() && kept.ends.is_empty());
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&later), bits(&now));
    }

    #[test]
    fn what_is_added_later_has_the_bits_of_what_is_added_at_once() {
        added(40, 33, 25, 3); // by channel
        added(40, 33, 25, 60); // too few spikes to be sorted
        added(7, 1, 1, 1); // one timestep
        added(50, 130, 700, 4); // more adjoints than are kept
        added(900, 3, 50, 1); // more spikes than are kept
        added(5, 4, 10, u32::MAX); // none
    }
}
