"""How each kind of layer couples the channels of its inputs and outputs."""
