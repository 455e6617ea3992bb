//! x
/// x
pub struct Arrived;
/// x
pub struct SiteLab;
