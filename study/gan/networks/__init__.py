"""Building blocks of the architectures, and the interface of the discriminator for penalties and normalizations."""
