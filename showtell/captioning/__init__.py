"""Many pictures in, records out: inputs found, opened ahead, captioned in batches, written so that the next run goes on."""
