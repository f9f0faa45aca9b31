//! What the command line says of itself: completions and manual pages.

use std::{fs, path::Path};

use clap::{Command, CommandFactory};

use crate::{
    config::{Cli, CompletionArgs, ManArgs},
    failure::Failure,
    output::tell,
};

/// Completions on stdout.
pub(crate) fn completion(args: &CompletionArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "clarateach", &mut text);
    write_out(&text)
}

/// The page on stdout, or all of them in a folder.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = &args.out else {
        return write_out(&page(&command, "clarateach")?);
    };
    fs::create_dir_all(dir)
        .map_err(|error| Failure::io(format!("could not make {}", dir.display()), error))?;
    let pages = write_all(dir, &command, "clarateach")?;
    tell(&format!("{pages} pages in {}", dir.display()));
    Ok(())
}

fn write_all(dir: &Path, command: &Command, name: &str) -> Result<usize, Failure> {
    let file = dir.join(format!("{name}.1"));
    fs::write(&file, page(command, name)?)
        .map_err(|error| Failure::io(format!("could not write {}", file.display()), error))?;
    let mut pages = 1;
    for below in command.get_subcommands() {
        if below.get_name() != "help" {
            pages += write_all(dir, below, &format!("{name}-{}", below.get_name()))?;
        }
    }
    Ok(pages)
}

fn page(command: &Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut text)
        .map_err(|error| Failure::io("could not make the page", error))?;
    Ok(text)
}

fn write_out(text: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("could not write the answer", error))
}
