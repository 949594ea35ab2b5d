"""What the architectures are built from, and the discriminator as penalties and normalizations see it."""
