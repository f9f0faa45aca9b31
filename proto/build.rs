//! Compiles the three packages without `protoc`, and keeps the descriptor set
//! for gRPC reflection.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 3] = [
    "clarateach/workshop/v1/workshop.proto",
    "clarateach/agent/v1/agent.proto",
    "clarateach/guest/v1/guest.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;
    fs::write(
        out.join("descriptor.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
