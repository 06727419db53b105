"""The CSI plug-in: volumes of any backend for Kubernetes, Nomad and other orchestrators.

It is a client of the public API. ``controller/`` manages storage and belongs to the distribution
cinderlib. The other modules run on every host that uses volumes, without Cinder and without a
store, and belong to cinderlib-node.
"""
