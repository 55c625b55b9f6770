//! A batch of input as lists of events: of a dense array that is read more than once, it pays to search it only once.

use std::ops::Range;

use crate::error::Error;
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::input::Input;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::workers::{A_LOOK, Caller, MOST_THREADS, Watch, on_threads};

/// The events of a batch, in the form that [`Input::events`] reads.
#[derive(Clone, Debug, Default)]
pub struct InputEvents<T> {
    /// Ascending within each timestep.
    pub channel: Vec<u32>,
    /// Those of sample `s` and timestep `t` are `offsets[s * n_timesteps + t]..offsets[s * n_timesteps + t + 1]`.
    pub offsets: Vec<i64>,
    /// None if every event counts once.
    pub multiplicity: Option<Vec<T>>,
}

/// Samples that a thread claims at once.
const CLAIMED: usize = 8;
/// Entries of a dense input that are worth a thread.
const WORTH_A_THREAD: usize = 1 << 18;

/// The events of samples that follow each other.
struct Part<T> {
    first: usize,
    sizes: Vec<usize>,
    channel: Vec<u32>,
    multiplicity: Vec<T>,
}

/// What the threads of a search share.
struct Search {
    next: AtomicUsize,
    done: AtomicUsize,
    found: AtomicUsize,
    most: usize,
    ended: AtomicBool,
}

impl<T: Float> Input<'_, T> {
    /// The events of this input, or `None` as soon as there are found to be more than `most`. Potentials to start from
    /// are not among them. `progress` is as in [`simulate`](crate::simulate()).
    pub fn to_events(
        &self,
        most: usize,
        threads: usize,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<InputEvents<T>>, Error> {
        let entries = self.n_samples().saturating_mul(self.n_timesteps()).saturating_mul(self.n_inputs());
        let threads = threads.min(entries / WORTH_A_THREAD + 1).min(MOST_THREADS);
        let zero = || AtomicUsize::new(0);
        let (next, done, found) = (zero(), zero(), zero());
        let search = Search { next, done, found, most, ended: AtomicBool::new(false) };
        let work = |watch: &mut Watch<'_>| self.search(&search, watch);
        let results = on_threads(threads, Caller::Works, &work, &search.done, progress)?;
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(found) => parts.extend(found),
                Err(error) => errors.push(error),
            }
        }
        if let Some((_, error)) = errors.into_iter().min_by_key(|(first, error)| (error.rank(), *first)) {
            return Err(error);
        }
        parts.sort_unstable_by_key(|part| part.first);
        Ok((search.found.load(Ordering::Relaxed) <= most).then(|| joined(&parts)))
    }

    /// What one thread finds; an error comes with the first of the samples in which it is.
    fn search(&self, search: &Search, watch: &mut Watch<'_>) -> Result<Vec<Part<T>>, (usize, Error)> {
        let _mode = DefaultFloatMode::set();
        let (mut parts, mut spikes, mut indices) = (Vec::new(), Vec::new(), Vec::new());
        // Samples are claimed in order, and a thread reads all that it has claimed, so that the first error of the batch
        // is found.
        while !search.ended.load(Ordering::Relaxed) {
            let first = search.next.fetch_add(CLAIMED, Ordering::Relaxed);
            if first >= self.n_samples() {
                break;
            }
            let samples = first..self.n_samples().min(first + CLAIMED);
            let n_samples = samples.len();
            let part = self.part(samples, &mut spikes, &mut indices).map_err(|error| {
                search.ended.store(true, Ordering::Relaxed);
                (first, error)
            })?;
            let n = part.channel.len();
            parts.push(part);
            if search.found.fetch_add(n, Ordering::Relaxed).saturating_add(n) > search.most {
                search.ended.store(true, Ordering::Relaxed);
            }
            search.done.fetch_add(n_samples, Ordering::Relaxed);
            if !watch.go_on(A_LOOK) {
                return Err((first, Error::Interrupted));
            }
        }
        Ok(parts)
    }

    fn part(
        &self,
        samples: Range<usize>,
        spikes: &mut Vec<(u32, T)>,
        indices: &mut Vec<u32>,
    ) -> Result<Part<T>, Error> {
        let (mut sizes, mut channel, mut multiplicity) = (Vec::new(), Vec::new(), Vec::new());
        let first = samples.start;
        for sample in samples {
            for timestep in 0..self.n_timesteps() {
                self.timestep(sample, timestep, spikes, indices)?;
                sizes.push(spikes.len());
                channel.extend(spikes.iter().map(|spike| spike.0));
                multiplicity.extend(spikes.iter().map(|spike| spike.1));
            }
        }
        Ok(Part { first, sizes, channel, multiplicity })
    }
}

fn joined<T: Float>(parts: &[Part<T>]) -> InputEvents<T> {
    let sizes = parts.iter().flat_map(|part| &part.sizes);
    let ends = sizes.scan(0, |end, size| {
        *end += *size as i64;
        Some(*end)
    });
    let channels: Vec<_> = parts.iter().map(|part| &part.channel[..]).collect();
    let multiplicities: Vec<_> = parts.iter().map(|part| &part.multiplicity[..]).collect();
    let each_once = multiplicities.iter().all(|part| part.iter().all(|m| *m == T::ONE));
    InputEvents {
        channel: channels.concat(),
        offsets: std::iter::once(0).chain(ends).collect(),
        multiplicity: (!each_once).then(|| multiplicities.concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(
        x: &[f32],
        (t, b, n): (usize, usize, usize),
        most: usize,
        threads: usize,
    ) -> Option<InputEvents<f64>> {
        let input = Input::dense_f32(x, t, b, n).unwrap();
        input.to_events(most, threads, &mut |_| true).unwrap()
    }

    #[test]
    fn events_are_those_that_a_run_reads_whatever_the_threads() {
        // Enough for several threads.
        let shape @ (t, b, n) = (3, 100, 2048);
        let x: Vec<f32> = (0..t * b * n).map(|k| if k % 37 == 0 { (k % 5) as f32 } else { 0.0 }).collect();
        let input = Input::<f64>::dense_f32(&x, t, b, n).unwrap();
        let (mut spikes, mut indices) = (Vec::new(), Vec::new());
        for threads in [1, 2, 3] {
            let found = events(&x, shape, usize::MAX, threads).unwrap();
            let multiplicity = found.multiplicity.unwrap();
            let again = Input::events(&found.channel, &found.offsets, Some(&multiplicity), t, n).unwrap();
            let mut of_events = Vec::new();
            for (sample, timestep) in (0..b).flat_map(|sample| (0..t).map(move |timestep| (sample, timestep)))
            {
                input.timestep(sample, timestep, &mut spikes, &mut indices).unwrap();
                again.timestep(sample, timestep, &mut of_events, &mut indices).unwrap();
                assert_eq!(spikes, of_events);
            }
        }
    }

    #[test]
    fn the_samples_may_be_on_the_first_axis() {
        let (by_timestep, by_sample) = ([0.0, 1.0, 2.0, 3.0, 4.0, 0.0], [0.0, 2.0, 4.0, 1.0, 3.0, 0.0]);
        let one = Input::<f32>::dense_f64(&by_timestep, 3, 2, 1).unwrap();
        let other = Input::<f32>::dense_f64(&by_sample, 3, 2, 1).unwrap().samples_first();
        let [one, other] = [one, other].map(|each| each.to_events(9, 1, &mut |_| true).unwrap().unwrap());
        assert_eq!(one.multiplicity.as_deref(), Some(&[2.0, 4.0, 1.0, 3.0][..]));
        assert_eq!((one.channel, one.offsets), (other.channel, other.offsets));
        assert_eq!(one.multiplicity, other.multiplicity);
    }

    #[test]
    fn input_with_more_events_than_asked_for_is_left_dense() {
        let x = [1.0, 0.0, 1.0, 1.0];
        assert!(events(&x, (1, 2, 2), 2, 1).is_none());
        let found = events(&x, (1, 2, 2), 3, 1).unwrap();
        assert_eq!((found.channel, found.offsets), (vec![0, 0, 1], vec![0, 1, 3]));
        assert!(found.multiplicity.is_none());
    }

    #[test]
    fn the_first_error_of_the_batch_is_told() {
        let mut x = vec![0.0_f32; 2048 * 300];
        (x[2048 * 200 + 7], x[2048 * 290 + 9]) = (f32::NAN, f32::INFINITY);
        let input = Input::<f32>::dense_f32(&x, 1, 300, 2048).unwrap();
        for threads in [1, 4] {
            let error = input.to_events(usize::MAX, threads, &mut |_| true).unwrap_err();
            assert!(error.to_string().contains("NaN at timestep 0, sample 200, channel 7"), "{error}");
        }
    }
}
