//! `fwc bastion render`: what each sshd and each person is given, for the release of OpenSSH at hand.

use std::path::PathBuf;

use crate::cli::compile::proved;
use crate::cli::options::PolicyArgs;
use crate::cli::output::Tree;
use crate::cli::render::number;
use crate::cli::request::Request;
use crate::cli::{Console, Exit, Failure, clean, manifest};
use crate::target::sshd::artifact::Version;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    policy: PolicyArgs,

    /// This machine alone
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// The release of OpenSSH to write for; words that it does not know are left out
    #[arg(long, value_name = "VERSION", default_value_t = Version::USUAL)]
    sshd: Version,

    /// Write to this folder, as hosts/NAME/ssh/...; without it everything goes to stdout
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut request = Request::read(args.policy)?;
    request.options.sshd = args.sshd;
    let otherwise = "nothing is written: what is not proved is not written";
    let mut compiled = match proved(&mut request, None, otherwise, console) {
        Ok(compiled) => compiled,
        Err(stop) => return stop.exit(&request),
    };
    for host in &mut compiled.hosts {
        host.files.retain(|(name, _)| name.starts_with("ssh/"));
    }
    compiled.hosts.retain(|host| !host.files.is_empty());
    if let Some(name) = &args.host {
        compiled.hosts.retain(|host| host.name == *name);
        if compiled.hosts.is_empty() {
            return Err(Failure::new(format!("`{name}` runs no sshd of the policy")));
        }
    }
    match args.output {
        Some(dir) => {
            let tree = Tree::new(manifest::build(&compiled, &request.sources, &request.options.set, None))?;
            let shown = clean::clean_line(&dir.display().to_string());
            let of_others = tree.removes(&dir)?.into_iter().find(|name| !name.contains("/ssh/"));
            if let Some(name) = of_others {
                let failure = Failure::new(format!("`{shown}` is a build of `fwc compile`, with `{name}`"));
                return Err(failure.help("name another folder: what each sshd is given would take its place"));
            }
            tree.write(&dir)?;
            console.talk(&format!("wrote {} to `{shown}`\n", number(tree.len(), "file")));
        }
        None => {
            for host in &compiled.hosts {
                for (name, text) in &host.files {
                    console.data(&format!("# hosts/{}/{name}\n{text}\n", host.name));
                }
            }
        }
    }
    request.finished(true)
}
