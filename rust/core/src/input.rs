//! What a network is driven with: a batch of spikes or currents, dense or by event.

use crate::error::{Error, not_finite};
use crate::float::Float;
use crate::float_mode::DefaultFloatMode;
use crate::scan::Scan;

/// A batch of input. Every entry that is not zero is an input spike with that multiplicity.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, T> {
    n_timesteps: usize,
    n_samples: usize,
    n_inputs: usize,
    form: Form<'a, T>,
    /// Whether a dense form is `[n_samples, n_timesteps, n_inputs]` instead.
    samples_first: bool,
    initial_state: Option<&'a [T]>,
}

#[derive(Clone, Copy, Debug)]
enum Form<'a, T> {
    /// Dense forms are `[n_timesteps, n_samples, n_inputs]`.
    F32(&'a [f32]),
    F64(&'a [f64]),
    U8(&'a [u8]),
    Events {
        channel: &'a [u32],
        offsets: &'a [i64],
        multiplicity: Option<&'a [T]>,
    },
}

impl<'a, T: Float> Input<'a, T> {
    /// `x` is `[n_timesteps, n_samples, n_inputs]`.
    pub fn dense_f32(
        x: &'a [f32],
        n_timesteps: usize,
        n_samples: usize,
        n_inputs: usize,
    ) -> Result<Self, Error> {
        Self::checked(Form::F32(x), x.len(), n_timesteps, n_samples, n_inputs)
    }

    /// Like [`dense_f32`](Self::dense_f32), but in float64; rounded once where the network computes in float32.
    pub fn dense_f64(
        x: &'a [f64],
        n_timesteps: usize,
        n_samples: usize,
        n_inputs: usize,
    ) -> Result<Self, Error> {
        Self::checked(Form::F64(x), x.len(), n_timesteps, n_samples, n_inputs)
    }

    /// Like [`dense_f32`](Self::dense_f32), but in small counts or booleans.
    pub fn dense_u8(
        x: &'a [u8],
        n_timesteps: usize,
        n_samples: usize,
        n_inputs: usize,
    ) -> Result<Self, Error> {
        Self::checked(Form::U8(x), x.len(), n_timesteps, n_samples, n_inputs)
    }

    fn checked(
        form: Form<'a, T>,
        len: usize,
        n_timesteps: usize,
        n_samples: usize,
        n_inputs: usize,
    ) -> Result<Self, Error> {
        if n_timesteps == 0 || n_samples == 0 || len != n_timesteps * n_samples * n_inputs {
            return Err(Error::input(
                "x",
                format!("{len} values as {n_timesteps} x {n_samples} x {n_inputs}"),
                "at least one timestep and one sample, [T, B, n_inputs]",
            ));
        }
        Ok(Self { n_timesteps, n_samples, n_inputs, form, samples_first: false, initial_state: None })
    }

    /// Events, ordered by sample and then by timestep: those of sample `s` and timestep `t` are `offsets[s *
    /// n_timesteps + t]..offsets[s * n_timesteps + t + 1]`. Their channels must ascend, which is checked when a run
    /// reads them. Without `multiplicity`, each event counts once.
    pub fn events(
        channel: &'a [u32],
        offsets: &'a [i64],
        multiplicity: Option<&'a [T]>,
        n_timesteps: usize,
        n_inputs: usize,
    ) -> Result<Self, Error> {
        let _mode = DefaultFloatMode::set();
        let segments = offsets.len().saturating_sub(1);
        if n_timesteps == 0 || segments == 0 || !segments.is_multiple_of(n_timesteps) {
            return Err(Error::input(
                "offsets",
                format!("{} offsets", offsets.len()),
                format!("a positive multiple of {n_timesteps} timesteps, and one more"),
            ));
        }
        if offsets[0] != 0 || !offsets.is_sorted() || offsets[segments] != channel.len() as i64 {
            return Err(Error::input(
                "offsets",
                format!("offsets from {} to {}", offsets[0], offsets[segments]),
                format!("never decreasing, from 0 to {}", channel.len()),
            ));
        }
        match multiplicity {
            Some(m) if m.len() != channel.len() || !T::all_finite(m) || T::any_zero(m) => Err(Error::input(
                "multiplicity",
                format!("{} values, or one that is 0 or not finite", m.len()),
                format!("{} finite numbers, none 0", channel.len()),
            )),
            _ => Ok(Self {
                n_timesteps,
                n_samples: segments / n_timesteps,
                n_inputs,
                form: Form::Events { channel, offsets, multiplicity },
                samples_first: false,
                initial_state: None,
            }),
        }
    }

    /// The same input, whose dense array has the samples on the first axis and the timesteps on the second.
    #[must_use]
    pub fn samples_first(self) -> Self {
        Self { samples_first: true, ..self }
    }

    /// The same input, with these states at the start of each sample, instead of 0: `[n_samples, state_len]`, as
    /// [`Network::state_len`](crate::Network::state_len) describes.
    #[must_use]
    pub fn with_initial_state(self, state: &'a [T]) -> Self {
        Self { initial_state: Some(state), ..self }
    }

    /// A sample's initial state; `None` if it is 0.
    pub(crate) fn initial_state(&self, sample: usize) -> Option<&'a [T]> {
        let width = self.initial_state.map_or(0, <[T]>::len) / self.n_samples;
        self.initial_state.map(|state| &state[sample * width..(sample + 1) * width])
    }

    /// Refuses initial states that do not fit or are not finite.
    pub(crate) fn check_initial_state(&self, state_len: usize) -> Result<(), Error> {
        let Some(state) = self.initial_state else { return Ok(()) };
        let is_whole = state.len() == self.n_samples * state_len;
        let wrong = if is_whole { not_finite(state) } else { Some(format!("{} values", state.len())) };
        wrong.map_or(Ok(()), |given| {
            let accepted = format!("finite numbers in {}, [{}, {state_len}]", T::NAME, self.n_samples);
            Err(Error::input("initial_state", given, accepted))
        })
    }

    /// Timesteps of every sample.
    pub fn n_timesteps(&self) -> usize {
        self.n_timesteps
    }

    /// Samples in the batch.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// Input channels.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// Fills `spikes` with the (channel, multiplicity) of one timestep of one sample, in channel order; `indices` is a
    /// buffer.
    pub(crate) fn timestep(
        &self,
        sample: usize,
        timestep: usize,
        spikes: &mut Vec<(u32, T)>,
        indices: &mut Vec<u32>,
    ) -> Result<(), Error> {
        spikes.clear();
        let at = if self.samples_first {
            sample * self.n_timesteps + timestep
        } else {
            timestep * self.n_samples + sample
        };
        let row = at * self.n_inputs..(at + 1) * self.n_inputs;
        match self.form {
            Form::F32(x) => scan(&x[row], spikes, indices),
            Form::F64(x) => scan(&x[row], spikes, indices),
            Form::U8(x) => scan(&x[row], spikes, indices),
            Form::Events { channel, offsets, multiplicity } => {
                let at = sample * self.n_timesteps + timestep;
                let events = offsets[at] as usize..offsets[at + 1] as usize;
                let channels = &channel[events.clone()];
                if !are_ascending(channels, self.n_inputs) {
                    return Err(Error::input(
                        "channel",
                        format!(
                            "sample {sample}, timestep {timestep}: channels unsorted, doubled or beyond {}",
                            self.n_inputs
                        ),
                        "ascending channels below n_inputs in each timestep",
                    ));
                }
                let channels = channels.iter().copied();
                match multiplicity {
                    None => spikes.extend(channels.map(|channel| (channel, T::ONE))),
                    Some(m) => spikes.extend(channels.zip(m[events].iter().copied())),
                }
                return Ok(());
            }
        }
        match spikes.iter().find(|spike| !spike.1.is_finite()) {
            None => Ok(()),
            Some((channel, value)) => {
                let given = format!("{value} at timestep {timestep}, sample {sample}, channel {channel}");
                Err(Error::input("x", given, format!("finite numbers in {}", T::NAME)))
            }
        }
    }
}

/// Whether each channel is above the one before it, and all are below `n_inputs`.
fn are_ascending(channels: &[u32], n_inputs: usize) -> bool {
    // Without an early exit, which would keep the loop from being vectorised.
    let misplaced = channels.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    misplaced == 0 && channels.last().is_none_or(|last| (*last as usize) < n_inputs)
}

/// Appends the entries of `row` that are not zero after rounding; `indices` is a buffer.
fn scan<E: Scan, T: Float>(row: &[E], spikes: &mut Vec<(u32, T)>, indices: &mut Vec<u32>) {
    let n = E::nonzero(row, indices);
    let values = indices[..n].iter().map(|&k| (k, T::from_f64(row[k as usize].to_f64())));
    spikes.extend(values.filter(|(_, value)| *value != T::ZERO));
}
