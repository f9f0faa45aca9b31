//! How long a storm goes on: what `scripts/soak.sh` says, or what the tests do.

/// How many cycles, and the seed of the first: `usual` ones from 0 if nobody said.
#[allow(
    clippy::disallowed_methods,
    reason = "tests have no config.rs: what scripts/soak.sh tells a storm"
)]
pub fn soak(usual: u64) -> (u64, u64) {
    let told = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cycles = told("CLARATEACH_SOAK_CYCLES").unwrap_or(usual);
    (cycles, told("CLARATEACH_SOAK_SEED").unwrap_or(0))
}
