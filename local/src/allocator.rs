//! Settings of the C library's allocator, which it reads once, before a program begins.

/// One arena, whatever the number of threads; blocks of 1 MiB and more, and what is free at its end beyond 8 MiB, given
/// back at once (mallopt(3), "Environment variables"). The SAM template sets the same for the functions.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "8388608")];

/// Begins the program anew with these settings, unless the environment has settings of its own. By default every thread
/// may keep an arena, each as large as it ever was: on two cores that was a quarter of a run's memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn restart_with_settings() {
    use std::{env, os::unix::process::CommandExt, process::Command};

    if SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let mut arguments = env::args_os();
    let mut again = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only where it fails, and then the defaults do.
    let _ = again.args(arguments).envs(SETTINGS).exec();
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn restart_with_settings() {}
