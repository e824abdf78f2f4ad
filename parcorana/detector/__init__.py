"""The detector's elements: masks, colours, images, geometry."""
