"""From push to publication; ``loop`` joins watch, plan, launch, collect, publish and notify, nothing else joins them."""
