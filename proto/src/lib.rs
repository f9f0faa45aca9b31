//! Generated types of the three packages of the schema, and their words in JSON.
//!
//! Features: none gives the messages, `client` and `server` add the stubs, `json` the words.
//! The sources are under `proto/clarateach/`; the Rust stays in `OUT_DIR`.

#[cfg(feature = "json")]
pub mod json;

/// The compiled schema, for gRPC reflection: a serialized `FileDescriptorSet`
/// with imports and comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

macro_rules! tonic_include {
    ($package:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
    };
}

/// `clarateach.workshop.v1`: what instructors and learners ask.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod workshop {
    tonic_include!("clarateach.workshop.v1");
}

/// `clarateach.agent.v1`: what the control plane asks of a worker.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod agent {
    tonic_include!("clarateach.agent.v1");
}

/// `clarateach.guest.v1`: what the agent asks of a guest.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod guest {
    tonic_include!("clarateach.guest.v1");
}
