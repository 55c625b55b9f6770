//! Surrogate derivatives: what stands in for the derivative of a spike with respect to `x = v' - v_threshold`, under
//! snnTorch's names and with its parameters.

use crate::error::Error;
use crate::float::Float;

/// A surrogate and its parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// `alpha / 2 / (1 + (pi / 2 * alpha * x)^2)` (Fang et al. 2021).
    Atan {
        /// Its steepness.
        alpha: f64,
    },
    /// `1 / (1 + slope * |x|)^2` (Zenke and Ganguli 2018).
    FastSigmoid {
        /// Its steepness.
        slope: f64,
    },
    /// `slope * exp(-slope * x) / (1 + exp(-slope * x))^2`.
    Sigmoid {
        /// Its steepness.
        slope: f64,
    },
    /// `threshold` below 0, `-threshold` from 0 on: what snnTorch computes under this name.
    Triangular {
        /// Its height.
        threshold: f64,
    },
    /// 1 everywhere.
    StraightThroughEstimator,
}

impl Surrogate {
    /// The surrogate with snnTorch's name and one parameter (ignored where it has none).
    pub fn from_name(name: &str, parameter: f64) -> Result<Self, Error> {
        if !(parameter.is_finite() && parameter >= 0.0) {
            let given = format!("{name}({parameter})");
            return Err(Error::input("surrogate", given, "a finite parameter of 0 or more"));
        }
        match name {
            "atan" => Ok(Self::Atan { alpha: parameter }),
            "fast_sigmoid" => Ok(Self::FastSigmoid { slope: parameter }),
            "sigmoid" => Ok(Self::Sigmoid { slope: parameter }),
            "triangular" => Ok(Self::Triangular { threshold: parameter }),
            "straight_through_estimator" => Ok(Self::StraightThroughEstimator),
            _ => {
                let accepted = "atan, fast_sigmoid, sigmoid, triangular, straight_through_estimator";
                Err(Error::input("surrogate", name, accepted))
            }
        }
    }

    /// The derivative at each of `x`. A refractory neuron has an `x` of minus infinity, which gives 0 for every
    /// surrogate.
    #[inline]
    pub(crate) fn derivatives<T: Float>(self, x: &[T], derivative: &mut [T]) {
        let number = T::from_f64;
        match self {
            Self::Atan { alpha } => {
                let (height, width) = (number(alpha / 2.0), scale(std::f64::consts::FRAC_PI_2 * alpha));
                T::atan_derivatives(x, derivative, height, width);
            }
            Self::FastSigmoid { slope } => T::fast_sigmoid_derivatives(x, derivative, scale(slope)),
            _ => {
                for (d, &x) in derivative.iter_mut().zip(x) {
                    *d = if x == T::NEG_INFINITY { T::ZERO } else { self.derivative(x) };
                }
            }
        }
    }

    /// The derivative at `x`.
    #[inline]
    pub(crate) fn derivative<T: Float>(self, x: T) -> T {
        let number = T::from_f64;
        match self {
            Self::Atan { alpha } => {
                let scaled = scale::<T>(std::f64::consts::FRAC_PI_2 * alpha) * x;
                number(alpha / 2.0) / (T::ONE + scaled * scaled)
            }
            Self::FastSigmoid { slope } => {
                let root = T::ONE + scale::<T>(slope) * x.abs();
                T::ONE / (root * root)
            }
            Self::Sigmoid { slope } => {
                // The function is even in x, and in this form never becomes infinity over infinity.
                let e = libm::exp(-(slope * x.to_f64()).abs());
                number(slope * e / ((1.0 + e) * (1.0 + e)))
            }
            Self::Triangular { threshold } => number(if x < T::ZERO { threshold } else { -threshold }),
            Self::StraightThroughEstimator => T::ONE,
        }
    }
}

/// The factor for distances from a threshold: above 0 however small `slope` is, so that its product with infinity is
/// infinity and not NaN.
fn scale<T: Float>(slope: f64) -> T {
    T::from_f64(slope.max(f64::from(f32::MIN_POSITIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_negative_or_no_number_is_refused() {
        for parameter in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Surrogate::from_name("fast_sigmoid", parameter), Err(Error::Input { .. })));
        }
    }

    #[test]
    fn many_at_once_are_the_single_ones_and_none_for_refractory_neurons() {
        for (name, parameter) in [
            ("atan", 2.0),
            ("fast_sigmoid", 25.0),
            ("atan", 1e-50),
            ("fast_sigmoid", 0.0),
            ("sigmoid", 25.0),
            ("triangular", 1.5),
            ("straight_through_estimator", 0.0),
        ] {
            let surrogate = Surrogate::from_name(name, parameter).unwrap();
            let mut x: Vec<f32> = (0..40).map(|k| (k as f32 - 20.0) * 0.17).collect();
            x[7] = f32::NEG_INFINITY;
            let mut many = vec![f32::NAN; x.len()];
            surrogate.derivatives(&x, &mut many);
            for (k, &x) in x.iter().enumerate() {
                let single = if k == 7 { 0.0 } else { surrogate.derivative(x) };
                assert_eq!(many[k].to_bits(), single.to_bits(), "{name} at {x}");
            }
        }
    }
}
