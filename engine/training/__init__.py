"""Training with masks: config, callbacks, progress, distillation, augmentation, precision."""
