//! The leaky integrate-and-fire neuron: its parameters, and what firing does to its potential (`docs/semantics.md`,
//! "One forward step").

use crate::error::Error;
use crate::float::Float;

/// What firing does to the potential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reset {
    /// `v <- 0`.
    #[default]
    Zero,
    /// `v <- v' - reset_amount`.
    Subtract,
    /// `v <- v'`.
    None,
}

/// How long a neuron that fired ignores its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Refractory {
    /// Until the timestep ends.
    #[default]
    Timestep,
    /// Not at all.
    None,
}

/// The neuron model of one population.
#[derive(Clone, Debug, PartialEq)]
pub struct Lif {
    /// Membrane time constant in seconds, one value in all or one per neuron; infinity makes it the integrate-and-fire
    /// neuron.
    pub tau_mem: Vec<f64>,
    /// The potential strictly above which a neuron fires, one value in all or one per neuron; infinity for neurons that
    /// never fire.
    pub v_threshold: Vec<f64>,
    /// What firing does to the potential.
    pub reset: Reset,
    /// What a spike subtracts from the potential, one value in all or one per neuron; `v_threshold` if `None`. Only for
    /// [`Reset::Subtract`].
    pub reset_amount: Option<Vec<f64>>,
    /// How long a neuron that fired ignores its input.
    pub refractory: Refractory,
    /// With a value above 0, a neuron fires only after more than this many events arrived in the timestep.
    pub sync_threshold: u32,
    /// Time constant of the synaptic current in seconds, one value in all or one per neuron; `None`: events change only
    /// the potential.
    pub tau_syn: Option<Vec<f64>>,
}

impl Default for Lif {
    fn default() -> Self {
        Self {
            tau_mem: vec![20e-3],
            v_threshold: vec![1.0],
            reset: Reset::Zero,
            reset_amount: None,
            refractory: Refractory::Timestep,
            sync_threshold: 0,
            tau_syn: None,
        }
    }
}

/// The parameters of a population's neurons, one value each.
#[derive(Debug)]
pub(crate) struct Expanded<T> {
    pub(crate) tau_mem: Vec<f64>,
    pub(crate) v_threshold: Vec<T>,
    pub(crate) reset_amount: Option<Vec<T>>,
    pub(crate) tau_syn: Option<Vec<f64>>,
}

impl Lif {
    /// Checks the parameters and spreads them over `n` neurons.
    pub(crate) fn expand<T: Float>(&self, n: usize) -> Result<Expanded<T>, Error> {
        let spread = |argument: &str, values: &[f64]| match values {
            &[value] => Ok(vec![value; n]),
            values if values.len() == n => Ok(values.to_vec()),
            values => {
                Err(Error::network(argument, format!("{} values", values.len()), format!("1 or {n} values")))
            }
        };
        let time_constants = |argument: &str, values: &[f64], infinity: &str| {
            let values = spread(argument, values)?;
            match values.iter().find(|tau| tau.is_nan() || **tau <= 0.0) {
                Some(tau) => {
                    Err(Error::network(argument, tau, format!("seconds > 0 (infinity: {infinity})")))
                }
                None => Ok(values),
            }
        };
        let tau_mem = time_constants("tau_mem", &self.tau_mem, "integrate-and-fire")?;
        let tau_syn = self.tau_syn.as_ref().map(|tau| time_constants("tau_syn", tau, "it never decays"));
        let tau_syn = tau_syn.transpose()?;
        let potentials = |argument: &str, values: &[f64]| {
            let values: Vec<T> = spread(argument, values)?.into_iter().map(T::from_f64).collect();
            match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(Error::network(argument, value, format!("finite numbers in {}", T::NAME))),
                None => Ok(values),
            }
        };
        // The largest number is as far out of reach as infinity, and distances from it are finite.
        let reachable =
            |&threshold: &f64| if threshold == f64::INFINITY { T::MAX.to_f64() } else { threshold };
        let v_threshold = self.v_threshold.iter().map(reachable).collect::<Vec<_>>();
        let v_threshold = potentials("v_threshold", &v_threshold)?;
        if self.reset_amount.is_some() && self.reset != Reset::Subtract {
            let given = format!("a value with Reset::{:?}", self.reset);
            return Err(Error::network("reset_amount", given, "none, except with Reset::Subtract"));
        }
        let reset_amount =
            self.reset_amount.as_ref().map(|values| potentials("reset_amount", values)).transpose()?;
        Ok(Expanded { tau_mem, v_threshold, reset_amount, tau_syn })
    }
}

impl Reset {
    /// The potential after a neuron at `v` fired.
    #[inline]
    pub(crate) fn apply<T: Float>(self, v: T, amount: T) -> T {
        match self {
            Self::Zero => T::ZERO,
            Self::Subtract => v - amount,
            Self::None => v,
        }
    }
}

/// What is left after a timestep of what decays with the time constant `tau`: `exp(-dt / tau)`, computed in float64 by
/// the same code on every platform and rounded once.
pub(crate) fn decay<T: Float>(tau: f64, dt: f64) -> T {
    T::from_f64(libm::exp(-dt / tau))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_infinite_time_constant_never_leaks() {
        assert_eq!(decay::<f64>(f64::INFINITY, 0.01), 1.0);
    }

    #[test]
    fn resets_follow_the_contract() {
        assert_eq!(Reset::Zero.apply(1.5_f32, 1.0), 0.0);
        assert_eq!(Reset::Subtract.apply(1.5_f32, 1.0), 0.5);
        assert_eq!(Reset::None.apply(1.5_f32, 1.0), 1.5);
    }

    #[test]
    fn parameters_are_checked() {
        let message = |lif: Lif| lif.expand::<f32>(2).unwrap_err().to_string();
        assert!(message(Lif { tau_mem: vec![0.0], ..Lif::default() }).starts_with("tau_mem: got 0;"));
        assert!(message(Lif { tau_mem: vec![f64::NAN], ..Lif::default() }).starts_with("tau_mem: got NaN;"));
        assert!(
            message(Lif { v_threshold: vec![1e300], ..Lif::default() }).starts_with("v_threshold: got inf;")
        );
        assert!(
            message(Lif { v_threshold: vec![1.0; 3], ..Lif::default() })
                .contains("3 values; accepted: 1 or 2 values")
        );
        let amount = |reset, values| message(Lif { reset, reset_amount: Some(values), ..Lif::default() });
        assert!(amount(Reset::Subtract, vec![1e300]).starts_with("reset_amount: got inf;"));
        assert!(amount(Reset::Subtract, vec![1.0; 3]).starts_with("reset_amount: got 3 values;"));
        let tau_syn = message(Lif { tau_syn: Some(vec![-1.0]), ..Lif::default() });
        assert!(tau_syn.starts_with("tau_syn: got -1; accepted: seconds > 0 (infinity: it never decays)"));
        assert!(amount(Reset::Zero, vec![1.0]).starts_with("reset_amount: got a value with Reset::Zero;"));
    }
}
