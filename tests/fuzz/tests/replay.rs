//! Replays the inputs that the fuzzer kept, without the fuzzer.

use std::path::Path;

use porthole_fuzz::TARGETS;

/// Bytes of all corpora, bounded so that the repository stays small.
const MAX_CORPUS_BYTES: usize = 2 << 20;

#[test]
fn no_input_that_the_fuzzer_kept_breaks_an_invariant() {
    let mut total = 0;
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let entries = std::fs::read_dir(&folder).expect("each target has a corpus");
        let mut inputs = 0;
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let input = std::fs::read(&path).expect("a readable input");
            // Shown if the test fails.
            println!("{}", path.display());
            target(&input);
            total += input.len();
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {name} is lost");
    }
    assert!(total <= MAX_CORPUS_BYTES, "the corpora have {total} bytes");
}

#[test]
fn short_and_uniform_inputs_break_no_invariant() {
    for (_, target) in TARGETS {
        for len in [0, 1, 2, 3, 4, 19, 20, 21, 1500, 65_535] {
            for byte in [0, 1, 0x40, 0x7F, 0x80, 0xFF] {
                target(&vec![byte; len]);
            }
        }
    }
}
