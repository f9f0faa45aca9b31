//! The agent's program: all of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    clarateach_agent::main()
}
