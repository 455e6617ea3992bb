//! The `fwc` program: [`fwc::cli`] over the arguments, the terminal and the file system of this process.

fn main() -> std::process::ExitCode {
    fwc::cli::main()
}
