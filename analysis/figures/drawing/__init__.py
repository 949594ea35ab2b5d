"""What the figures share: pages, axes, panels, colours, captions and files."""
