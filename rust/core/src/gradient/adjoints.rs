//! The adjoints of one sample's neurons, and how they are passed back through an update (`docs/semantics.md`, "The
//! gradient").

use super::{Pass, Sums};
use crate::fates::SKIPPED;
use crate::float::Float;
use crate::network::Network;
use crate::neuron::{Lif, Refractory, Reset};

/// The adjoints of one sample's neurons; everything is by place.
#[derive(Debug)]
pub(super) struct Adjoints<T> {
    beta: Vec<T>,
    /// Empty if no population has synaptic currents.
    alpha: Vec<T>,
    /// `a = dL/dv` after the current step.
    pub(super) a: Vec<T>,
    /// `c = dL/dc` at the end of the timestep. It is that after each of its steps, because currents only grow by what
    /// arrives. Empty if no population has synaptic currents.
    pub(super) c: Vec<T>,
    /// `b`: the derivative of the loss with respect to what arrives in the current step; 0 for refractory neurons, apart
    /// from what their currents pass on.
    pub(super) b: Vec<T>,
    /// `e` of a silent update: the counts' cotangents.
    e: Vec<T>,
    /// What the gradient's scope adds to `e`: the adjoints of silent updates.
    pub(super) silent: Vec<T>,
    /// `x` of neurons that fired in the current step.
    pub(super) x: Vec<T>,
    /// A buffer: surrogate derivatives, or the counts' cotangents by id.
    s: Vec<T>,
}

/// An update in which a neuron fired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Firing<T> {
    /// The neuron's place.
    pub(super) k: usize,
    pub(super) fate: u8,
    /// `v' - v_threshold`, and the surrogate derivative there.
    pub(super) x: T,
    pub(super) s: T,
    /// The spike's adjoint.
    pub(super) term: T,
}

impl<T: Float> Adjoints<T> {
    pub(super) fn new(pass: &Pass<'_, T>) -> Self {
        let zeros = || vec![T::ZERO; pass.network.n_neurons()];
        let by_place = |by_id: &[T]| {
            let mut by_place = vec![T::ZERO; by_id.len()];
            if !by_id.is_empty() {
                pass.places.put(by_id, &mut by_place);
            }
            by_place
        };
        let (beta, alpha) = (by_place(&pass.decays.beta), by_place(&pass.decays.alpha));
        Self {
            c: vec![T::ZERO; alpha.len()],
            beta,
            alpha,
            a: zeros(),
            b: zeros(),
            e: zeros(),
            silent: zeros(),
            x: zeros(),
            s: zeros(),
        }
    }

    pub(super) fn begin_sample(&mut self, pass: &Pass<'_, T>, sample: usize) {
        let n = self.a.len();
        let state = pass.cotangents.state.map(|all| &all[sample * pass.network.state_len()..]);
        let current = state.filter(|_| !self.c.is_empty()).map(|state| &state[n..]);
        let spike_counts = pass.cotangents.spike_counts.map(|all| &all[sample * n..]);
        for (adjoint, cotangent) in
            [(&mut self.a, state), (&mut self.c, current), (&mut self.e, spike_counts)]
        {
            match cotangent {
                Some(own) => pass.places.put(&own[..n], adjoint),
                None => adjoint.fill(T::ZERO),
            }
        }
        if !self.c.is_empty() {
            // The currents of these neurons are the constant 0.
            for population in pass.network.populations().iter().filter(|p| p.lif.tau_syn.is_none()) {
                self.c[population.start..population.end].fill(T::ZERO);
            }
        }
    }

    /// Sets the output neurons' `e` to that of the timestep, and adds to their `a` what the loss takes of their
    /// potentials at its end.
    pub(super) fn begin_timestep(&mut self, pass: &Pass<'_, T>, sample: usize, timestep: usize) {
        let output = pass.network.output();
        let n = output.end - output.start;
        let follows_ids = pass.places.plane(pass.network.population_index(output.start as u32)).is_none();
        if let Some(counts) = pass.cotangents.counts {
            let e = if follows_ids { &mut self.e[output.start..output.end] } else { &mut self.s[..n] };
            counts.read(timestep, sample, e);
            if let Some(spike_counts) = pass.cotangents.spike_counts {
                T::add_row(e, &spike_counts[sample * self.a.len() + output.start..][..n]);
            }
            if !follows_ids {
                for (place, id) in (output.start..).zip(pass.places.ids(output.start..output.end)) {
                    self.e[place] = self.s[id - output.start];
                }
            }
        }
        if let Some(output_v) = pass.cotangents.output_v {
            let s = &mut self.s[..n];
            output_v.read(timestep, sample, s);
            for (place, id) in (output.start..).zip(pass.places.ids(output.start..output.end)) {
                self.a[place] += s[id - output.start];
            }
        }
    }

    /// Passes adjoints back through the start of a timestep, `v <- v * beta` and `c <- c * alpha`, where the state was
    /// `before`. Currents arrive in the step that `b` belongs to.
    pub(super) fn pass_decay(&mut self, before: &[T], sums: &mut Sums<T>) {
        let currents = before.get(self.a.len()..).unwrap_or_default();
        for (sums, adjoints, before) in
            [(&mut sums.beta, &self.a, before), (&mut sums.alpha, &self.b, currents)]
        {
            for ((sum, &adjoint), &before) in sums.iter_mut().zip(adjoints).zip(before) {
                *sum += adjoint * before;
            }
        }
        T::decay(&mut self.a, &self.beta);
        if !self.c.is_empty() {
            self.c.copy_from_slice(&self.b);
            T::decay(&mut self.c, &self.alpha);
        }
    }

    /// Adds to `b` at these places what currents pass on of what arrives.
    pub(super) fn add_currents(&mut self, places: std::ops::Range<usize>) {
        if !self.c.is_empty() {
            T::add_row(&mut self.b[places.clone()], &self.c[places]);
        }
    }

    /// Sets `b` for currents that do not arrive in a timestep, because it is stopped before.
    pub(super) fn keep_currents(&mut self) {
        if !self.c.is_empty() {
            self.b.copy_from_slice(&self.c);
        }
    }

    /// Passes adjoints back through the silent updates of a population's neurons, from place `first` on. An `x` of
    /// minus infinity stands for no silent update: the neuron's `b` becomes 0.
    pub(super) fn pass_silent_run(
        &mut self,
        pass: &Pass<'_, T>,
        index: usize,
        first: usize,
        x: &[T],
        sums: &mut Sums<T>,
    ) {
        let population = &pass.network.populations()[index];
        let range = first..first + x.len();
        if passes_reset(pass, &population.lif) {
            for (k, &x) in range.zip(x) {
                self.pass_silent(pass, &population.lif, k, x, sums);
            }
            return;
        }
        let e = &mut self.silent[range.clone()];
        T::add_row(e, &self.e[range.clone()]);
        let s = &mut self.s[..x.len()];
        pass.options.surrogate.derivatives(x, s);
        T::accumulate(&mut self.a[range.clone()], &mut self.b[range.clone()], x, s, e);
        if pass.options.want_neuron {
            for (((sum, &s), &e), &x) in sums.v_threshold[range.clone()].iter_mut().zip(&*s).zip(&*e).zip(x) {
                *sum += if x == T::NEG_INFINITY { T::ZERO } else { -(s * e) };
            }
        }
        e.fill(T::ZERO);
        self.add_currents(range);
    }

    /// Passes adjoints back through the silent update of a neuron.
    pub(super) fn pass_silent(&mut self, pass: &Pass<'_, T>, lif: &Lif, k: usize, x: T, sums: &mut Sums<T>) {
        let e = self.e[k] + std::mem::take(&mut self.silent[k]);
        if x == T::NEG_INFINITY {
            self.set_b(k, T::ZERO);
            return;
        }
        let s = pass.options.surrogate.derivative(x);
        let through = through_spike(pass, lif, k, (x, s), e, self.a[k]);
        // As in `accumulate`: zeros are not added.
        if through != T::ZERO {
            self.a[k] += through;
        }
        self.set_b(k, self.a[k]);
        if pass.options.want_neuron {
            sums.v_threshold[k] += -through;
        }
    }

    /// Passes adjoints back through the update of a neuron that fired.
    #[inline]
    pub(super) fn pass_fired(
        &mut self,
        pass: &Pass<'_, T>,
        lif: &Lif,
        firing: Firing<T>,
        sums: &mut Sums<T>,
    ) {
        let Firing { k, fate, x, s, term } = firing;
        let rests = lif.refractory == Refractory::Timestep && fate & SKIPPED == 0;
        // As in the paper's code. Refractoriness makes no difference in layered execution, which is plain
        // back-propagation through time.
        let is_cut = rests && pass.order.is_none() && lif.reset == Reset::Zero && !pass.options.detach_reset;
        let a = if is_cut { T::ZERO } else { self.a[k] };
        let through = through_spike(pass, lif, k, (x, s), self.e[k] + term, a);
        if pass.options.want_neuron {
            // An amount of its own is a constant.
            let by_threshold = lif.reset == Reset::Subtract && lif.reset_amount.is_none();
            let through_reset = if by_threshold { a } else { T::ZERO };
            sums.v_threshold[k] += -(through + through_reset);
        }
        self.a[k] = if lif.reset == Reset::Zero { through } else { a + through };
        self.set_b(k, self.a[k]);
    }

    /// Sets `b` of a neuron whose potential passes on this much of what arrives.
    #[inline]
    fn set_b(&mut self, k: usize, through_v: T) {
        self.b[k] = if self.c.is_empty() { through_v } else { through_v + self.c[k] };
    }
}

/// `s' * (e - [not detach_reset] a * what the reset took away)`.
#[inline]
#[allow(clippy::many_single_char_names)] // the names in the formula
fn through_spike<T: Float>(pass: &Pass<'_, T>, lif: &Lif, k: usize, (x, s): (T, T), e: T, a: T) -> T {
    let Network { threshold, reset_amount, .. } = pass.network;
    let id = pass.places.id(k) as usize;
    // A neuron that never fires is never reset.
    let resets = || !pass.options.detach_reset && threshold[id] != T::MAX;
    match lif.reset {
        Reset::Zero if resets() => s * (e - a * (x + threshold[id])),
        Reset::Subtract if resets() => {
            let amounts = if lif.reset_amount.is_some() { reset_amount } else { threshold };
            s * (e - a * amounts[id])
        }
        _ => s * e,
    }
}

/// Whether derivatives pass through the reset.
fn passes_reset<T>(pass: &Pass<'_, T>, lif: &Lif) -> bool {
    !pass.options.detach_reset && lif.reset != Reset::None
}
