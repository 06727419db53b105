"""cinderlib"""
