"""relevo: a self-hosted CI/CD execution engine.

Whoever runs hands over, and whoever falls is relieved. ARCHITECTURE.md draws the house; each
package's docstring says what it owns.
"""

__version__ = "0.1.0"
