//! Why a step failed, as it is counted.

use std::fmt::Display;

/// A step that failed, and why: failures of one text are one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(step: &str, why: impl Display) -> Self {
        Self(format!("{step}: {why}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Names the step at which something failed.
pub(crate) trait At<T> {
    fn at(self, step: &str) -> Result<T, Failure>;
}

impl<T, E: Display> At<T> for Result<T, E> {
    fn at(self, step: &str) -> Result<T, Failure> {
        self.map_err(|why| Failure::new(step, why))
    }
}
