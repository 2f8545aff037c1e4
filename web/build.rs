//! Creates `dist` if it is missing, so that the crate compiles without a built dashboard.

fn main() -> std::io::Result<()> {
    std::fs::create_dir_all("dist")?;
    println!("cargo::rerun-if-changed=dist");
    Ok(())
}
