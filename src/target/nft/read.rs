//! stub
use super::artifact::Place;
#[derive(Clone, Debug)]
pub struct Lines;
impl Lines { pub fn of(&self, _: &Place) -> Option<usize> { None } }
