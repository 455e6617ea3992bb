//! The `fwc` program: [`fwc::cli`] over the arguments, the terminal and the file system of this process.

/// A large policy is many small allocations, and vectors that grow beside them (record 31).
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    fwc::cli::main()
}
