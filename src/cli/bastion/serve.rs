//! `fwc bastion serve`: the jump server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bastion::serve::files::CONFIG;
use crate::bastion::serve::{self, Bounds, ServeError, Settings};
use crate::cli::render::number;
use crate::cli::{Console, Exit, Failure, clean};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the machine that `compile` wrote: 00-fwc.conf, authorized_keys/
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// The host key: an Ed25519 private key, readable by its owner alone
    #[arg(long, value_name = "FILE", default_value = "/etc/ssh/ssh_host_ed25519_key")]
    host_key: PathBuf,

    /// Where to listen, as 192.0.2.1:22 or [2001:db8::1]:22; every address at the port of the files where not said
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    /// The user to become, by name or number; needed where it starts as root
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Append the audit log to this file; stdout where not said
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,

    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    connections: usize,

    /// Connections at a time of one key
    #[arg(long, value_name = "N", default_value_t = 32)]
    per_key: usize,

    /// Channels at a time of one connection
    #[arg(long, value_name = "N", default_value_t = 64)]
    channels: usize,

    /// Seconds that a connection may last
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    lifetime: u64,

    /// Seconds that open channels may go on once it is told to stop (SIGTERM); told twice, it stops
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain: u64,
}

pub(super) fn run(args: Args, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let bounds = Bounds {
        connections: args.connections,
        per_key: args.per_key,
        channels: args.channels,
        lifetime: Duration::from_secs(args.lifetime),
        drain: Duration::from_secs(args.drain),
    };
    if args.folder.join(CONFIG).try_exists().is_ok_and(|there| !there) {
        let folder = clean::clean_line(&args.folder.display().to_string());
        let what =
            if args.folder.is_dir() { format!("has no `{CONFIG}`") } else { "is no folder".to_owned() };
        let help = "give the folder that `fwc compile` wrote for the machine's sshd: `hosts/NAME/ssh` of a build, or where it was put";
        return Err(Failure::new(format!("`{folder}` {what}: nothing is served")).help(help));
    }
    let settings = Settings {
        folder: args.folder,
        host_key: args.host_key,
        listen: args.listen,
        user: args.user,
        audit: args.audit,
        bounds,
    };
    match serve::serve(&settings) {
        Ok(lost) => {
            if lost > 0 {
                console.talk(&format!(
                    "the audit log never took {}\n",
                    number(usize::try_from(lost).unwrap_or(usize::MAX), "line")
                ));
            }
            Ok(Exit::Fine)
        }
        Err(ServeError::Files(why)) => {
            console.talk(&format!("not served: {}\n", clean::clean_line(&why.to_string())));
            Ok(Exit::AtFault)
        }
        Err(failed) => Err(Failure::new(failed.to_string())),
    }
}
