pub fn available() -> Result<(), String> {
    Ok(())
}
