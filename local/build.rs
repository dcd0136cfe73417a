//! Links `stepwell` to a fixed address where the linker is known to do it: with the SQL engine there are so many relocations
//! that applying them at each start touches 14 MB of memory (ADR 7).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
